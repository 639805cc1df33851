// Package discover stands in for the module of its name, which finds other nodes in twenty clouds: with their clients it is more to build
// than Vault, and a single node in memory looks for nobody.
package discover

import (
	"errors"
	"log"
)

type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
	Help() string
}

type Discover struct{}

type Option func(*Discover) error

var Providers map[string]Provider

func New(...Option) (*Discover, error) { return &Discover{}, nil }

func WithProviders(map[string]Provider) Option { return nil }

func (*Discover) Addrs(string, *log.Logger) ([]string, error) {
	return nil, errors.New("this Vault finds no nodes")
}
