// vaultd is HashiCorp Vault for tests: its core, its HTTP interface, transit and AppRole, unchanged, with everything in memory. What Vault's
// own command line adds (engines and logins for other products, their clients) takes most of its build and is left out; the client is
// HashiCorp's own package.
//
//	vaultd server ADDRESS ROOT-TOKEN [CERT KEY]     when it listens, stdout gets the unseal key
//	vaultd write FIELD PATH NAME=VALUE...           writes and prints a field of the answer; VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// builtin tells the core that what it has factories for is supported.
type builtin struct{}

func (builtin) Contains(name string, kind consts.PluginType) bool { return false }
func (builtin) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	return nil, false
}
func (builtin) Keys(kind consts.PluginType) []string { return nil }
func (builtin) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func serve(address, token string, tls []string) error {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		Logger:             logger,
		DisableMlock:       true,
		BuiltinRegistry:    builtin{},
		LogicalBackends:    map[string]logical.Factory{"transit": transit.Factory},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory},
	})
	if err != nil {
		return err
	}
	ctx := namespace.RootContext(context.Background())
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}})
	if err != nil {
		return err
	}
	key := hex.EncodeToString(made.SecretShares[0]) // Unseal wipes it
	if open, err := core.Unseal(made.SecretShares[0]); err != nil || !open {
		return errors.Join(err, errors.New("not unsealed"))
	}
	_, err = core.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, ClientToken: made.RootToken, Path: "auth/token/create",
		Data: map[string]interface{}{"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(key)
	server := &http.Server{Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{Address: address}})}
	if len(tls) == 2 {
		return server.ServeTLS(listener, tls[0], tls[1])
	}
	return server.Serve(listener)
}

func write(field, path string, pairs []string) error {
	client, err := api.NewClient(nil)
	if err != nil {
		return err
	}
	data := map[string]interface{}{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		data[name] = value
	}
	answer, err := client.Logical().Write(path, data)
	if err != nil {
		return err
	}
	fmt.Println(answer.Data[field])
	return nil
}

func main() {
	a, err := os.Args[1:], errors.New("usage: vaultd server ADDRESS ROOT-TOKEN [CERT KEY] | write FIELD PATH NAME=VALUE...")
	switch {
	case len(a) >= 3 && a[0] == "server":
		err = serve(a[1], a[2], a[3:])
	case len(a) >= 3 && a[0] == "write":
		err = write(a[1], a[2], a[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vaultd:", err)
		os.Exit(1)
	}
}
