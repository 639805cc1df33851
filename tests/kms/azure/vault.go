package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys/fake"
)

// vaultURL is under which name this vault was called: key ids begin with it.
type vaultURL struct{}

type version struct {
	id      string // 32 hex digits
	key     *rsa.PrivateKey
	enabled bool
	created time.Time
}

type vault struct {
	lock sync.Mutex
	keys map[string][]*version // oldest first
}

func newVault() *vault { return &vault{keys: map[string][]*version{}} }

func (v *vault) add(name string) (*version, error) {
	id := make([]byte, 16)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	rand.Read(id)
	made := &version{hex.EncodeToString(id), key, true, time.Now()}
	v.lock.Lock()
	defer v.lock.Unlock()
	v.keys[name] = append(v.keys[name], made)
	return made, nil
}

// The version of a key, its newest when none is asked for. The codec's pattern is greedy: the version may be part of the name.
func (v *vault) find(name, id string) (string, *version, error) {
	if n, rest, cut := strings.Cut(name, "/"); cut {
		name, id = n, rest
	}
	v.lock.Lock()
	defer v.lock.Unlock()
	list := v.keys[name]
	for i := len(list) - 1; i >= 0; i-- {
		if id == "" || id == list[i].id {
			return name, list[i], nil
		}
	}
	return name, nil, &refusal{404, "KeyNotFound", fmt.Sprintf("A key with (name/id) %s was not found in this key vault. If you recently deleted this key "+
		"you may be able to recover it using the correct recovery command.", strings.TrimSuffix(name+"/"+id, "/")), ""}
}

func (v *vault) is(version *version, enabled *bool) bool {
	v.lock.Lock()
	defer v.lock.Unlock()
	if enabled != nil {
		version.enabled = *enabled
	}
	return version.enabled
}

func kid(ctx context.Context, name string, k *version) *azkeys.ID {
	id := azkeys.ID(fmt.Sprintf("%s/keys/%s/%s", ctx.Value(vaultURL{}), name, k.id))
	return &id
}

func (v *vault) bundle(ctx context.Context, name string, k *version) azkeys.KeyBundle {
	kty := azkeys.KeyTypeRSA
	operations := []*azkeys.KeyOperation{}
	for _, o := range []azkeys.KeyOperation{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"} {
		operations = append(operations, &o)
	}
	return azkeys.KeyBundle{
		Key: &azkeys.JSONWebKey{KID: kid(ctx, name, k), Kty: &kty, KeyOps: operations, N: k.key.N.Bytes(), E: big.NewInt(int64(k.key.E)).Bytes()},
		Attributes: &azkeys.KeyAttributes{Enabled: to.Ptr(v.is(k, nil)), Created: &k.created, Updated: &k.created,
			RecoveryLevel: to.Ptr("Recoverable+Purgeable"), RecoverableDays: to.Ptr(int32(90))},
	}
}

// What encrypt, decrypt, wrapkey and unwrapkey have in common.
func (v *vault) use(ctx context.Context, what, name, id string, p azkeys.KeyOperationParameters, unwrap bool) (r azkeys.KeyOperationResult, err error) {
	name, k, err := v.find(name, id)
	if err != nil {
		return r, err
	}
	if !v.is(k, nil) {
		return r, &refusal{403, "Forbidden", fmt.Sprintf("Operation %s is not allowed on a disabled key.", what), "KeyDisabled"}
	}
	if p.Algorithm == nil || *p.Algorithm != azkeys.EncryptionAlgorithmRSAOAEP256 {
		return r, &refusal{400, "BadParameter", "Key and signing algorithm are incompatible. Key https requires an algorithm of RSA-OAEP-256", ""}
	}
	if unwrap {
		r.Result, err = rsa.DecryptOAEP(sha256.New(), nil, k.key, p.Value, nil)
	} else {
		r.Result, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.key.PublicKey, p.Value, nil)
	}
	if err != nil {
		return r, &refusal{400, "BadParameter", "The parameter is incorrect.", ""}
	}
	r.KID = kid(ctx, name, k)
	return r, nil
}

// Turns what an operation returned into what the codec wants.
func answer[T any](value T, err error) (ok azfake.Responder[T], no azfake.ErrorResponder) {
	if err != nil {
		no.SetError(err)
	} else {
		ok.SetResponse(http.StatusOK, value, nil)
	}
	return ok, no
}

func (v *vault) server() *fake.Server {
	return &fake.Server{
		CreateKey: func(ctx context.Context, name string, p azkeys.CreateKeyParameters, _ *azkeys.CreateKeyOptions) (azfake.Responder[azkeys.CreateKeyResponse], azfake.ErrorResponder) {
			if p.Kty == nil || *p.Kty != azkeys.KeyTypeRSA {
				return answer(azkeys.CreateKeyResponse{}, &refusal{400, "BadParameter", "only RSA keys here", ""})
			}
			k, err := v.add(name)
			if err != nil {
				return answer(azkeys.CreateKeyResponse{}, err)
			}
			return answer(azkeys.CreateKeyResponse{KeyBundle: v.bundle(ctx, name, k)}, nil)
		},
		RotateKey: func(ctx context.Context, name string, _ *azkeys.RotateKeyOptions) (azfake.Responder[azkeys.RotateKeyResponse], azfake.ErrorResponder) {
			if _, _, err := v.find(name, ""); err != nil {
				return answer(azkeys.RotateKeyResponse{}, err)
			}
			k, err := v.add(name)
			if err != nil {
				return answer(azkeys.RotateKeyResponse{}, err)
			}
			return answer(azkeys.RotateKeyResponse{KeyBundle: v.bundle(ctx, name, k)}, nil)
		},
		UpdateKey: func(ctx context.Context, name, id string, p azkeys.UpdateKeyParameters, _ *azkeys.UpdateKeyOptions) (azfake.Responder[azkeys.UpdateKeyResponse], azfake.ErrorResponder) {
			name, k, err := v.find(name, id)
			if err != nil {
				return answer(azkeys.UpdateKeyResponse{}, err)
			}
			if p.KeyAttributes != nil {
				v.is(k, p.KeyAttributes.Enabled)
			}
			return answer(azkeys.UpdateKeyResponse{KeyBundle: v.bundle(ctx, name, k)}, nil)
		},
		GetKey: func(ctx context.Context, name, id string, _ *azkeys.GetKeyOptions) (azfake.Responder[azkeys.GetKeyResponse], azfake.ErrorResponder) {
			name, k, err := v.find(name, id)
			if err == nil && !v.is(k, nil) {
				err = &refusal{403, "Forbidden", "Operation get is not allowed on a disabled key.", "KeyDisabled"}
			}
			if err != nil {
				return answer(azkeys.GetKeyResponse{}, err)
			}
			return answer(azkeys.GetKeyResponse{KeyBundle: v.bundle(ctx, name, k)}, nil)
		},
		Encrypt: func(ctx context.Context, name, id string, p azkeys.KeyOperationParameters, _ *azkeys.EncryptOptions) (azfake.Responder[azkeys.EncryptResponse], azfake.ErrorResponder) {
			r, err := v.use(ctx, "encrypt", name, id, p, false)
			return answer(azkeys.EncryptResponse{KeyOperationResult: r}, err)
		},
		Decrypt: func(ctx context.Context, name, id string, p azkeys.KeyOperationParameters, _ *azkeys.DecryptOptions) (azfake.Responder[azkeys.DecryptResponse], azfake.ErrorResponder) {
			r, err := v.use(ctx, "decrypt", name, id, p, true)
			return answer(azkeys.DecryptResponse{KeyOperationResult: r}, err)
		},
		WrapKey: func(ctx context.Context, name, id string, p azkeys.KeyOperationParameters, _ *azkeys.WrapKeyOptions) (azfake.Responder[azkeys.WrapKeyResponse], azfake.ErrorResponder) {
			r, err := v.use(ctx, "wrapKey", name, id, p, false)
			return answer(azkeys.WrapKeyResponse{KeyOperationResult: r}, err)
		},
		UnwrapKey: func(ctx context.Context, name, id string, p azkeys.KeyOperationParameters, _ *azkeys.UnwrapKeyOptions) (azfake.Responder[azkeys.UnwrapKeyResponse], azfake.ErrorResponder) {
			r, err := v.use(ctx, "unwrapKey", name, id, p, true)
			return answer(azkeys.UnwrapKeyResponse{KeyOperationResult: r}, err)
		},
	}
}
