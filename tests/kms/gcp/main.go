// A Google Cloud KMS for tests, on this machine only. Messages, routes and JSON are Google's own stubs behind a generic REST
// transcoder; keys, tokens and refusals are ours, since no server of Google's installs by name.
//
//	gcp-kms-server CONFIG.json
//
// The configuration: {"accounts": [{"email", "kid", "public_key" (PEM)}], "users": [{"client_id", "client_secret", "refresh_token", "email"}],
// "keys": [{"name", "members": [email, ...]}], "tls": {"cert", "key"} (files), "token_seconds": n, "audiences": [url, ...]}. The first line
// it prints says where it listens; then one JSON command a line on stdin, one JSON answer a line, until stdin ends:
//
//	{"do":"state","key":k,"version":n,"state":"DISABLED"}   a version's state: ENABLED, DISABLED, DESTROYED
//	{"do":"rotate","key":k}                                 a new primary version
//	{"do":"audience","url":u}                               one more URL that assertions may be made for
//	{"do":"seconds","n":n}                                  life of the access tokens that are given out from now on
//	{"do":"revoke"}                                         forgets every access token
//	{"do":"counts"}                                         -> {"tokens":n,"calls":n}
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"connectrpc.com/vanguard/vanguardgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

type config struct {
	Accounts []struct{ Email, Kid, Public_key string }
	Users    []user
	Keys     []struct {
		Name    string
		Members []string
	}
	Tls           struct{ Cert, Key string }
	Token_seconds int
	Audiences     []string
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	return l
}

func main() {
	var c config
	text, err := os.ReadFile(os.Args[1])
	fatal(err)
	fatal(json.Unmarshal(text, &c))
	who, err := newLogin(&c)
	fatal(err)
	kms := newKms(&c, who)

	plain := grpc.NewServer(grpc.UnaryInterceptor(who.intercept))
	kmspb.RegisterKeyManagementServiceServer(plain, kms)
	transcoder, err := vanguardgrpc.NewTranscoder(plain)
	fatal(err)
	mux := http.NewServeMux()
	mux.Handle("/v1/", restErrors(transcoder))
	mux.HandleFunc("/token", who.token)
	mux.HandleFunc("/computeMetadata/", who.metadata)
	mux.HandleFunc("/sts/v1/token", who.exchange)
	mux.HandleFunc("/iam/v1/projects/-/serviceAccounts/", who.impersonate)

	rest, grpcPlain, grpcTls := listen(), listen(), listen()
	fast, err := credentials.NewServerTLSFromFile(c.Tls.Cert, c.Tls.Key)
	fatal(err)
	secure := grpc.NewServer(grpc.UnaryInterceptor(who.intercept), grpc.Creds(fast))
	kmspb.RegisterKeyManagementServiceServer(secure, kms)
	who.allowAssertionsFor("http://" + rest.Addr().String() + "/token")
	go func() { fatal(http.Serve(rest, mux)) }()
	go func() { fatal(plain.Serve(grpcPlain)) }()
	go func() { fatal(secure.Serve(grpcTls)) }()

	answer := func(v any) {
		line, err := json.Marshal(map[string]any{"ok": v})
		fatal(err)
		fmt.Println(string(line))
	}
	answer(map[string]string{"rest": rest.Addr().String(), "grpc": grpcPlain.Addr().String(), "grpc_tls": grpcTls.Addr().String()})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var q struct {
			Do, Key, State, Url string
			Version, N          int
		}
		fatal(json.Unmarshal(in.Bytes(), &q))
		switch q.Do {
		case "state":
			fatal(kms.setState(q.Key, q.Version, q.State))
		case "rotate":
			fatal(kms.rotate(q.Key))
		case "audience":
			who.allowAssertionsFor(q.Url)
		case "seconds":
			who.setSeconds(q.N)
		case "revoke":
			who.revoke()
		case "counts":
			answer(map[string]int{"tokens": who.issued(), "calls": kms.count()})
			continue
		default:
			fatal(fmt.Errorf("unknown command %q", q.Do))
		}
		answer(true)
	}
}
