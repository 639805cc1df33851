package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Keys with versions, and Encrypt and Decrypt under them: AES-256-GCM, a ciphertext begins with its version's number.
type version struct {
	seal  cipher.AEAD
	state string
}

type key struct {
	members  []string
	versions []version
}

type kmsServer struct {
	kmspb.UnimplementedKeyManagementServiceServer
	lock  sync.Mutex
	keys  map[string]*key
	calls int
}

func newVersion() version {
	raw := make([]byte, 32)
	rand.Read(raw)
	block, err := aes.NewCipher(raw)
	fatal(err)
	gcm, err := cipher.NewGCM(block)
	fatal(err)
	return version{gcm, "ENABLED"}
}

func newKms(c *config, who *login) *kmsServer {
	k := &kmsServer{keys: map[string]*key{}}
	for _, q := range c.Keys {
		k.keys[q.Name] = &key{q.Members, []version{newVersion()}}
	}
	return k
}

func (k *kmsServer) count() int { k.lock.Lock(); defer k.lock.Unlock(); return k.calls }

func (k *kmsServer) setState(name string, v int, state string) error {
	k.lock.Lock()
	defer k.lock.Unlock()
	q := k.keys[name]
	if q == nil || v < 1 || v > len(q.versions) {
		return fmt.Errorf("no version %d of %q", v, name)
	}
	q.versions[v-1].state = state
	return nil
}

func (k *kmsServer) rotate(name string) error {
	k.lock.Lock()
	defer k.lock.Unlock()
	if k.keys[name] == nil {
		return fmt.Errorf("no key %q", name)
	}
	k.keys[name].versions = append(k.keys[name].versions, newVersion())
	return nil
}

func crc(b []byte) int64 { return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }

func damaged(b []byte, sum *wrapperspb.Int64Value) bool { return sum != nil && sum.Value != crc(b) }

// Under k.lock: the key, if the caller may use it.
func (k *kmsServer) find(ctx context.Context, name, right string) (*key, error) {
	k.calls++
	q := k.keys[name]
	if q == nil {
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	}
	if !slices.Contains(q.members, ctx.Value(callerKey{}).(string)) {
		return nil, status.Errorf(codes.PermissionDenied, "Permission 'cloudkms.cryptoKeyVersions.%s' denied on resource '%s' (or it may not exist).", right, name)
	}
	return q, nil
}

func usable(name string, n int, v version) error {
	if v.state != "ENABLED" {
		return status.Errorf(codes.FailedPrecondition, "%s/cryptoKeyVersions/%d is not enabled, current state is: %s.", name, n, v.state)
	}
	return nil
}

func (k *kmsServer) Encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	q, err := k.find(ctx, r.Name, "useToEncrypt")
	if err != nil {
		return nil, err
	}
	if damaged(r.Plaintext, r.PlaintextCrc32C) || damaged(r.AdditionalAuthenticatedData, r.AdditionalAuthenticatedDataCrc32C) {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field plaintext_crc32c did not match the data in field plaintext.")
	}
	if len(r.Plaintext) > 64*1024 {
		return nil, status.Error(codes.InvalidArgument, "The plaintext is larger than 64KiB.")
	}
	n := len(q.versions)
	v := q.versions[n-1]
	if err := usable(r.Name, n, v); err != nil {
		return nil, err
	}
	out := make([]byte, 1+v.seal.NonceSize())
	out[0] = byte(n)
	rand.Read(out[1:])
	out = v.seal.Seal(out, out[1:], r.Plaintext, append([]byte(r.Name+"\n"), r.AdditionalAuthenticatedData...))
	return &kmspb.EncryptResponse{
		Name: fmt.Sprintf("%s/cryptoKeyVersions/%d", r.Name, n), Ciphertext: out, CiphertextCrc32C: wrapperspb.Int64(crc(out)),
		VerifiedPlaintextCrc32C: r.PlaintextCrc32C != nil, VerifiedAdditionalAuthenticatedDataCrc32C: r.AdditionalAuthenticatedDataCrc32C != nil,
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}, nil
}

func (k *kmsServer) Decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	q, err := k.find(ctx, r.Name, "useToDecrypt")
	if err != nil {
		return nil, err
	}
	if damaged(r.Ciphertext, r.CiphertextCrc32C) || damaged(r.AdditionalAuthenticatedData, r.AdditionalAuthenticatedDataCrc32C) {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.")
	}
	refused := status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
	if len(r.Ciphertext) < 1 || int(r.Ciphertext[0]) < 1 || int(r.Ciphertext[0]) > len(q.versions) {
		return nil, refused
	}
	n := int(r.Ciphertext[0])
	v := q.versions[n-1]
	if err := usable(r.Name, n, v); err != nil {
		return nil, err
	}
	if len(r.Ciphertext) < 1+v.seal.NonceSize() {
		return nil, refused
	}
	nonce, sealed := r.Ciphertext[1:1+v.seal.NonceSize()], r.Ciphertext[1+v.seal.NonceSize():]
	plain, err := v.seal.Open(nil, nonce, sealed, append([]byte(r.Name+"\n"), r.AdditionalAuthenticatedData...))
	if err != nil {
		return nil, refused
	}
	return &kmspb.DecryptResponse{Plaintext: plain, PlaintextCrc32C: wrapperspb.Int64(crc(plain)), UsedPrimary: n == len(q.versions), ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE}, nil
}

// The transcoder's errors are bare google.rpc.Status; the service puts them below "error", with the HTTP status and the code's name.
func restErrors(inner http.Handler) http.Handler {
	names := map[codes.Code]string{
		codes.InvalidArgument: "INVALID_ARGUMENT", codes.NotFound: "NOT_FOUND", codes.PermissionDenied: "PERMISSION_DENIED", codes.Unauthenticated: "UNAUTHENTICATED",
		codes.FailedPrecondition: "FAILED_PRECONDITION", codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.Unavailable: "UNAVAILABLE", codes.Unimplemented: "UNIMPLEMENTED",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Del("$alt") // the clients ask for JSON by it, and the transcoder takes it for a field
		r.URL.RawQuery = q.Encode()
		kept := httptest.NewRecorder()
		inner.ServeHTTP(kept, r)
		body := kept.Body.Bytes()
		var bare struct {
			Code    codes.Code
			Message string
		}
		if kept.Code >= 400 && json.Unmarshal(body, &bare) == nil {
			name := names[bare.Code]
			if name == "" {
				name = "INTERNAL"
			}
			body, _ = json.Marshal(map[string]any{"error": map[string]any{"code": kept.Code, "message": bare.Message, "status": name}})
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(kept.Code)
		w.Write(body)
	})
}
