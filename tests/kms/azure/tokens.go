package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokens says who a request comes from: signature by the issuer's published keys, issuer, audience and expiry all count.
type tokens struct {
	issuer, jwks, authority string
	resources               resources
	grants                  grants
	http                    http.Client
	lock                    sync.Mutex
	keys                    map[string]*rsa.PublicKey
}

func (t *tokens) trust(file string) error {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", file)
	}
	t.http = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return nil
}

func (t *tokens) may(client, permission string) bool {
	return slices.Contains(t.grants[client], permission)
}

// resource is the audience that tokens for the host of a request must have.
func (t *tokens) resource(r *http.Request) string {
	if own, found := t.resources[r.Host]; found {
		return own
	}
	return t.resources[""]
}

func (t *tokens) challenge(r *http.Request, no *refusal) string {
	text := fmt.Sprintf("Bearer authorization=%q, resource=%q", t.authority, t.resource(r))
	if no.inner != "" {
		text += fmt.Sprintf(", error=%q, error_description=%q", "invalid_token", no.inner)
	}
	return text
}

func (t *tokens) client(r *http.Request) (string, error) {
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		return "", &refusal{401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", ""}
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(text, claims, t.key, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(t.issuer),
		jwt.WithAudience(t.resource(r)), jwt.WithExpirationRequired())
	if errors.Is(err, jwt.ErrTokenInvalidAudience) {
		return "", &refusal{401, "Unauthorized", fmt.Sprintf("AKV10022: Invalid audience. Expected %s, found: %v.", t.resource(r), claims["aud"]), ""}
	}
	if err != nil {
		return "", &refusal{401, "Unauthorized", "[TokenExpired] Error validating token: " + err.Error(), err.Error()}
	}
	client, _ := claims["client_id"].(string)
	return client, nil
}

// The public key that signed a token; keys not seen before are fetched.
func (t *tokens) key(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.keys[kid] == nil {
		if err := t.fetch(); err != nil {
			return nil, err
		}
	}
	if t.keys[kid] == nil {
		return nil, errors.New("signed by nobody known")
	}
	return t.keys[kid], nil
}

func (t *tokens) fetch() error {
	var set struct {
		Keys []struct{ Kid, Kty, N, E string }
	}
	reply, err := t.http.Get(t.jwks)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if err := json.NewDecoder(reply.Body).Decode(&set); err != nil {
		return err
	}
	t.keys = map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if k.Kty == "RSA" && errN == nil && errE == nil {
			t.keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		}
	}
	return nil
}
