// Command static is a grpc-go server that answers every check alike: what a Go server costs that decides nothing. It is
// written on Envoy's generated stubs, as people write them; with -raw it hands bytes through and reads nothing.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

func main() {
	listen := flag.String("listen", "", "host:port")
	answerFile := flag.String("answer", "", "file with the CheckResponse")
	raw := flag.Bool("raw", false, "read and write no message")
	flag.Parse()
	answer, err := os.ReadFile(*answerFile)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server(answer, *raw).Serve(listener))
}

func server(answer []byte, raw bool) *grpc.Server {
	var server *grpc.Server
	if raw {
		server = grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
		server.RegisterService(rawService(answer), struct{}{})
	} else {
		typed := &typed{answer: new(auth.CheckResponse)}
		if err := proto.Unmarshal(answer, typed.answer); err != nil {
			log.Fatal(err)
		}
		server = grpc.NewServer()
		auth.RegisterAuthorizationServer(server, typed)
	}
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server
}

type typed struct {
	auth.UnimplementedAuthorizationServer
	answer *auth.CheckResponse
}

func (t *typed) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return t.answer, nil
}

// A rawCodec hands checks through as bytes; health is spoken in messages.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(message any) ([]byte, error) {
	if answer, isBytes := message.(*[]byte); isBytes {
		return *answer, nil
	}
	return proto.Marshal(message.(proto.Message))
}

func (rawCodec) Unmarshal(data []byte, message any) error {
	if _, isBytes := message.(*[]byte); isBytes {
		return nil
	}
	return proto.Unmarshal(data, message.(proto.Message))
}

func rawService(answer []byte) *grpc.ServiceDesc {
	check := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		return &answer, decode(new([]byte))
	}
	return &grpc.ServiceDesc{
		ServiceName: "envoy.service.auth.v3.Authorization",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
	}
}
