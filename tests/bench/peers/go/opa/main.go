// Command opa is the peer: OPA's own library behind grpc-go, with the bench's policy in Rego. The input has the form
// that OPA's Envoy plugin gives it: the CheckRequest as JSON, and the path taken apart.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/url"
	"os"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

//go:embed policy.rego
var policy string

func main() {
	listen := flag.String("listen", "", "host:port")
	dataFile := flag.String("data", "", "JSON with the routes, the origins and the issuer")
	verify := flag.Bool("verify", false, "verify tokens; else they are decoded")
	flag.Parse()
	server, err := newServer(*dataFile, *verify)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(listener))
}

func newServer(dataFile string, verify bool) (*grpc.Server, error) {
	raw, err := os.ReadFile(dataFile)
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := util.UnmarshalJSON(raw, &data); err != nil {
		return nil, err
	}
	data["verify"] = verify
	query, err := rego.New(
		rego.Query("data.shop.answer"),
		rego.Module("policy.rego", policy),
		rego.Store(inmem.NewFromObject(data)),
	).PrepareForEval(context.Background())
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	auth.RegisterAuthorizationServer(server, &authorization{query: query})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server, nil
}

type authorization struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
}

type answer struct {
	Outcome string
	Status  int32
	Headers map[string]string
}

func (a *authorization) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	input, err := inputOf(request)
	if err != nil {
		return nil, err
	}
	results, err := a.query.Eval(ctx, rego.EvalParsedInput(input))
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return response(answer{Outcome: "deny", Status: 403})
	}
	return response(answerOf(results[0].Expressions[0].Value.(map[string]any)))
}

// inputOf does as the plugin's envoyauth.RequestToInput does.
func inputOf(request *auth.CheckRequest) (ast.Value, error) {
	raw, err := protojson.Marshal(request)
	if err != nil {
		return nil, err
	}
	var input map[string]any
	if err := util.UnmarshalJSON(raw, &input); err != nil {
		return nil, err
	}
	parsed, err := url.Parse(request.GetAttributes().GetRequest().GetHttp().GetPath())
	if err != nil {
		return nil, err
	}
	path, query := []any{}, map[string]any{}
	for _, segment := range strings.Split(strings.TrimLeft(parsed.Path, "/"), "/") {
		path = append(path, segment)
	}
	for key, values := range parsed.Query() {
		all := []any{}
		for _, value := range values {
			all = append(all, value)
		}
		query[key] = all
	}
	input["parsed_path"], input["parsed_query"] = path, query
	return ast.InterfaceToValue(input)
}

func answerOf(value map[string]any) answer {
	code, _ := value["status"].(json.Number).Int64()
	headers := map[string]string{}
	for name, each := range value["headers"].(map[string]any) {
		headers[name] = each.(string)
	}
	return answer{value["outcome"].(string), int32(code), headers}
}

func response(answer answer) (*auth.CheckResponse, error) {
	metadata, err := structpb.NewStruct(map[string]any{"outcome": answer.Outcome})
	if err != nil {
		return nil, err
	}
	headers := make([]*core.HeaderValueOption, 0, len(answer.Headers))
	for name, value := range answer.Headers {
		headers = append(headers, &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}})
	}
	if answer.Outcome == "allow" {
		return &auth.CheckResponse{
			Status:          &status.Status{Code: int32(codes.OK)},
			HttpResponse:    &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{ResponseHeadersToAdd: headers}},
			DynamicMetadata: metadata,
		}, nil
	}
	return &auth.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &envoytype.HttpStatus{Code: envoytype.StatusCode(answer.Status)}, Headers: headers,
		}},
		DynamicMetadata: metadata,
	}, nil
}
