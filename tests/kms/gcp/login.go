package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Who may call, and the three ways in: a signed JWT itself, an assertion or a refresh token for an access token, the metadata server.
const (
	service      = "https://cloudkms.googleapis.com/"
	scopePrefix  = "https://www.googleapis.com/auth/"
	machineEmail = "machine@metadata.test"
	poolAudience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/test" // trusts the accounts as identity providers
)

type user struct{ Client_id, Client_secret, Refresh_token, Email string }

type account struct {
	email, kid string
	key        *rsa.PublicKey
}

type access struct {
	email string
	until time.Time
}

type login struct {
	lock      sync.Mutex
	accounts  map[string]account // by email
	users     []user
	tokens    map[string]access
	audiences map[string]bool // URLs of the token endpoint
	services  map[string]bool // what a JWT that is itself the token may be for
	seconds   int
	given     int
}

func newLogin(c *config) (*login, error) {
	l := &login{accounts: map[string]account{}, users: c.Users, tokens: map[string]access{}, audiences: map[string]bool{}, services: map[string]bool{service: true}, seconds: c.Token_seconds}
	for _, a := range c.Accounts {
		block, _ := pem.Decode([]byte(a.Public_key))
		if block == nil {
			return nil, fmt.Errorf("public key of %s is no PEM", a.Email)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		rsaKey, ok := key.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("key of %s is not RSA", a.Email)
		}
		l.accounts[a.Email] = account{a.Email, a.Kid, rsaKey}
	}
	for _, u := range c.Audiences {
		l.services[u] = true
	}
	return l, nil
}

func (l *login) allowAssertionsFor(url string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.audiences[url] = true
}
func (l *login) setSeconds(n int) { l.lock.Lock(); defer l.lock.Unlock(); l.seconds = n }
func (l *login) revoke()          { l.lock.Lock(); defer l.lock.Unlock(); l.tokens = map[string]access{} }
func (l *login) issued() int      { l.lock.Lock(); defer l.lock.Unlock(); return l.given }

func (l *login) give(email string) map[string]any {
	var raw [16]byte
	rand.Read(raw[:])
	l.lock.Lock()
	defer l.lock.Unlock()
	token := "ya29." + hex.EncodeToString(raw[:])
	l.tokens[token] = access{email, time.Now().Add(time.Duration(l.seconds) * time.Second)}
	l.given++
	return map[string]any{"access_token": token, "expires_in": l.seconds, "token_type": "Bearer"}
}

func hasScope(scopes string) bool {
	for _, s := range strings.Fields(strings.ReplaceAll(scopes, ",", " ")) {
		if s == scopePrefix+"cloudkms" || s == scopePrefix+"cloud-platform" {
			return true
		}
	}
	return false
}

type claims struct {
	Iss, Sub, Aud, Scope string
	Iat, Exp             float64
}

// Signature, signer and times of a JWT; what it is for is the caller's to look at.
func (l *login) verify(jwt string) (*claims, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	var raw [3][]byte
	for i := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		raw[i] = b
	}
	var head struct{ Alg, Kid string }
	var c claims
	if json.Unmarshal(raw[0], &head) != nil || json.Unmarshal(raw[1], &c) != nil {
		return nil, errors.New("not JSON in a JWT")
	}
	l.lock.Lock()
	a, known := l.accounts[c.Iss]
	l.lock.Unlock()
	now := float64(time.Now().Unix())
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch {
	case head.Alg != "RS256":
		return nil, errors.New("algorithm is not RS256")
	case !known || a.kid != head.Kid:
		return nil, errors.New("unknown issuer or key id")
	case rsa.VerifyPKCS1v15(a.key, crypto.SHA256, hash[:], raw[2]) != nil:
		return nil, errors.New("invalid JWT signature")
	case c.Sub != "" && c.Sub != c.Iss:
		return nil, errors.New("issued for somebody else")
	case c.Exp-c.Iat > 3600 || c.Exp <= c.Iat || c.Iat > now+10 || c.Exp < now:
		return nil, errors.New("JWT is not valid now, or for longer than an hour")
	}
	return &c, nil
}

// POST /token [RFC 7523, RFC 6749 section 6]
func (l *login) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, kind, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(map[string]string{"error": kind, "error_description": text})
	}
	if r.Method != "POST" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.ParseForm() != nil {
		refuse(400, "invalid_request", "not a POST of a form")
		return
	}
	f := r.PostForm
	switch f.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		c, err := l.verify(f.Get("assertion"))
		if err != nil {
			refuse(400, "invalid_grant", err.Error())
			return
		}
		l.lock.Lock()
		known := l.audiences[c.Aud]
		l.lock.Unlock()
		if !known {
			refuse(400, "invalid_grant", "assertion is for another audience")
		} else if !hasScope(c.Scope) {
			refuse(400, "invalid_scope", "no scope that covers Cloud KMS")
		} else {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(l.give(c.Iss))
		}
	case "refresh_token":
		for _, u := range l.users {
			if u.Client_id == f.Get("client_id") && u.Client_secret == f.Get("client_secret") && u.Refresh_token == f.Get("refresh_token") {
				w.Header().Set("Content-Type", "application/json")
				json.NewEncoder(w).Encode(l.give(u.Email))
				return
			}
		}
		refuse(400, "invalid_grant", "Bad Request")
	default:
		refuse(400, "unsupported_grant_type", "Invalid grant_type")
	}
}

// GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=...
func (l *login) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	w.Header().Set("Server", "Metadata Server for VM")
	const base = "/computeMetadata/v1/instance/service-accounts/default/"
	scopes := r.URL.Query().Get("scopes")
	switch {
	case r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "Missing Metadata-Flavor:Google header.", 403)
	case r.URL.Path == base && r.Method == "GET":
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"aliases": []string{"default"}, "email": machineEmail, "scopes": []string{scopePrefix + "cloud-platform"}})
	case r.URL.Path == base+"token" && r.Method == "GET" && (scopes == "" || hasScope(scopes)):
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(l.give(machineEmail))
	default:
		http.Error(w, "Not Found", 404)
	}
}

// POST /sts/v1/token: another provider's token for one of ours [RFC 8693]
func (l *login) exchange(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(kind, text string) {
		w.WriteHeader(400)
		json.NewEncoder(w).Encode(map[string]string{"error": kind, "error_description": text})
	}
	if r.Method != "POST" || r.ParseForm() != nil {
		refuse("invalid_request", "not a POST of a form")
		return
	}
	f := r.PostForm
	c, err := l.verify(f.Get("subject_token"))
	switch {
	case f.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || f.Get("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token":
		refuse("invalid_request", "Invalid grant_type or requested_token_type")
	case f.Get("audience") != poolAudience:
		refuse("invalid_target", "The target service indicated by the audience parameters is invalid.")
	case f.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" || err != nil || c.Aud != poolAudience:
		refuse("invalid_grant", "The given credential is rejected by the attribute condition.")
	case !hasScope(f.Get("scope")) && f.Get("scope") != scopePrefix+"iam":
		refuse("invalid_scope", "no scope that covers Cloud KMS")
	default:
		given := l.give(c.Iss)
		given["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
		json.NewEncoder(w).Encode(given)
	}
}

// POST /iam/v1/projects/-/serviceAccounts/{email}:generateAccessToken; who came through the pool may become any account but itself
func (l *login) impersonate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, name, text string) {
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": text, "status": name}})
	}
	email, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/iam/v1/projects/-/serviceAccounts/"), ":")
	from, err := l.caller(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	var q struct {
		Scope    []string
		Lifetime string
	}
	life := 0
	if json.NewDecoder(r.Body).Decode(&q) == nil {
		fmt.Sscanf(q.Lifetime, "%ds", &life)
	}
	switch {
	case err != nil:
		refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case action != "generateAccessToken" || r.Method != "POST" || from == email || l.accounts[email].email == "":
		refuse(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
	case !hasScope(strings.Join(q.Scope, " ")) || life < 1 || life > 3600:
		refuse(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
	default:
		given := l.give(email)
		json.NewEncoder(w).Encode(map[string]any{"accessToken": given["access_token"], "expireTime": time.Now().UTC().Add(time.Duration(life) * time.Second).Format(time.RFC3339)})
	}
}

// The caller's email, by a token that was given out or a JWT made for this service.
func (l *login) caller(token string) (string, error) {
	if strings.Count(token, ".") == 2 {
		c, err := l.verify(token)
		if err != nil {
			return "", err
		}
		l.lock.Lock()
		known := l.services[c.Aud]
		l.lock.Unlock()
		if c.Sub != c.Iss || !(known || (c.Aud == "" && hasScope(c.Scope))) {
			return "", errors.New("JWT is not for this service")
		}
		return c.Iss, nil
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	a, known := l.tokens[token]
	if !known || time.Now().After(a.until) {
		return "", errors.New("unknown or expired")
	}
	return a.email, nil
}

type callerKey struct{}

func (l *login) intercept(ctx context.Context, q any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	auth := md.Get("authorization")
	if len(auth) != 1 || !strings.HasPrefix(auth[0], "Bearer ") {
		return nil, status.Error(codes.Unauthenticated, "Request is missing required authentication credential. Expected OAuth 2 access token.")
	}
	email, err := l.caller(strings.TrimPrefix(auth[0], "Bearer "))
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "Request had invalid authentication credentials. Expected OAuth 2 access token.")
	}
	return next(context.WithValue(ctx, callerKey{}, email), q)
}
