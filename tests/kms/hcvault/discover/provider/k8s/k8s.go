// Package k8s is the provider that Vault names.
package k8s

import (
	"errors"
	"log"
)

type Provider struct{}

func (*Provider) Addrs(map[string]string, *log.Logger) ([]string, error) {
	return nil, errors.New("this Vault finds no nodes")
}

func (*Provider) Help() string { return "" }
