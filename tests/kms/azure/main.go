// azure-server: an Azure Key Vault for tests. Paths and JSON are those of Microsoft's own generated server codec
// (azkeys/fake); what a key does is in vault.go, who may do it in tokens.go. Keys are made, rotated and disabled over the
// same API, by the SDK of the test.
//
//	azure-server -cert F -key F -ca F -issuer URL -jwks URL -authority URL -resource URL [-resource HOST=URL] -grant CLIENT=get,encrypt,... [-grant ...]
//
// Tokens must be made for the resource of the host that was called. Prints "listening on https://127.0.0.1:PORT".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys/fake"
)

// A refusal is an answer of the service other than 200, in its words.
type refusal struct {
	status        int
	code, message string
	inner         string // error.innererror.code
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func (r *refusal) write(w http.ResponseWriter) {
	e := map[string]any{"code": r.code, "message": r.message}
	if r.inner != "" {
		e["innererror"] = map[string]any{"code": r.inner}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(r.status)
	json.NewEncoder(w).Encode(map[string]any{"error": e})
}

// What the last segment of a path, or the method when there is none, asks for; and the permission that it needs.
var operations = map[string]struct{ api, permission string }{
	"POST create": {"Client.CreateKey", "create"}, "POST rotate": {"Client.RotateKey", "rotate"},
	"POST encrypt": {"Client.Encrypt", "encrypt"}, "POST decrypt": {"Client.Decrypt", "decrypt"},
	"POST wrapkey": {"Client.WrapKey", "wrapKey"}, "POST unwrapkey": {"Client.UnwrapKey", "unwrapKey"},
	"GET": {"Client.GetKey", "get"}, "PATCH": {"Client.UpdateKey", "update"},
}

type front struct {
	tokens *tokens
	codec  *fake.ServerTransport
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.answer(w, r); err != nil {
		var no *refusal
		if !errors.As(err, &no) {
			no = &refusal{400, "BadParameter", err.Error(), ""}
		}
		if no.status == 401 {
			w.Header().Set("WWW-Authenticate", f.tokens.challenge(r, no))
		}
		no.write(w)
	}
}

func (f *front) answer(w http.ResponseWriter, r *http.Request) error {
	client, err := f.tokens.client(r)
	if err != nil {
		return err
	}
	what := r.Method
	if what == "POST" {
		what += " " + strings.ToLower(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" && r.ContentLength != 0 {
			return &refusal{415, "BadParameter", "The request body must be application/json", ""}
		}
	}
	op, known := operations[what]
	if !known || !strings.HasPrefix(r.URL.Path, "/keys/") {
		return &refusal{404, "NotFound", "no such operation: " + what, ""}
	}
	if r.URL.Query().Get("api-version") == "" {
		return &refusal{400, "BadParameter", "api-version must be specified", ""}
	}
	if !f.tokens.may(client, op.permission) {
		return &refusal{403, "Forbidden", fmt.Sprintf("The user, group or application 'appid=%s' does not have keys %s permission on key vault '%s'.",
			client, op.permission, r.Host), "AccessDenied"}
	}
	ctx := context.WithValue(r.Context(), runtime.CtxAPINameKey{}, op.api)
	ctx = context.WithValue(ctx, vaultURL{}, "https://"+r.Host)
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	reply, err := f.codec.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(reply.StatusCode)
	_, err = io.Copy(w, reply.Body)
	return err
}

type grants map[string][]string

func (g grants) String() string { return "" }
func (g grants) Set(text string) error {
	client, permissions, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("expected CLIENT=PERMISSION,...")
	}
	g[client] = strings.Split(permissions, ",")
	return nil
}

type resources map[string]string // of a host; "": of all others

func (m resources) String() string { return "" }
func (m resources) Set(text string) error {
	if host, resource, ok := strings.Cut(text, "="); ok {
		m[host] = resource
	} else {
		m[""] = text
	}
	return nil
}

func main() {
	t := &tokens{grants: grants{}, resources: resources{}}
	cert := flag.String("cert", "", "certificate of this server")
	key := flag.String("key", "", "its private key")
	ca := flag.String("ca", "", "certificates to trust when keys of the issuer are fetched")
	flag.StringVar(&t.issuer, "issuer", "", "who signs the tokens")
	flag.StringVar(&t.jwks, "jwks", "", "where the issuer's keys are")
	flag.StringVar(&t.authority, "authority", "", "what the challenge names for tokens")
	flag.Var(t.resources, "resource", "audience of the tokens")
	flag.Var(t.grants, "grant", "what a client may do")
	flag.Parse()
	if err := t.trust(*ca); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on https://127.0.0.1:%d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.ServeTLS(listener, &front{t, fake.NewServerTransport(newVault().server())}, *cert, *key))
}
