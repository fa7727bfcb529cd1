// Command upstream is what Envoy protects: it answers every request with a few bytes of JSON.
package main

import (
	"flag"
	"log"
	"net/http"
)

func main() {
	listen := flag.String("listen", "", "host:port")
	flag.Parse()
	body := []byte(`{"items":[]}`)
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		w.Write(body)
	})))
}
