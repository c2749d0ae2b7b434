package checker

import (
	"errors"
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ic/candid"
)

// Errors of arguments.
var (
	ErrConfig  = errors.New("the checker's arguments cannot be used")
	ErrCorrupt = errors.New("stable memory does not hold a checker's configuration")
)

// maxOwn is how many addresses an operator may block in addition.
const maxOwn = 10_000

// Config is what a checker does, as its arguments said.
type Config struct {
	Network btc.Network
	Node    *RPC // of a private network
	Mode    CheckMode
	Nodes   uint16   // of the subnet: what outcalls cost depends on it
	Own     []string // blocked beside the built-in list, sorted

	url string // of Node, as it was given
}

// stored is the form of a Config in stable memory. New fields are optional, so that older ones can be read.
type stored struct {
	Network BtcNetwork `candid:"network"`
	Mode    CheckMode  `candid:"mode"`
	Nodes   uint16     `candid:"nodes"`
	Own     []string   `candid:"own"`
}

func newConfig(a InitArg) (Config, error) {
	c := Config{Mode: a.Mode, Nodes: a.Nodes}
	switch {
	case a.Network.Mainnet != nil:
		c.Network = btc.Mainnet
	case a.Network.Testnet != nil:
		c.Network = btc.Testnet4
	default:
		c.Network, c.url = btc.Regtest, a.Network.Regtest.URL
		node, err := ParseRPC(c.url)
		if err != nil {
			return c, err
		}
		c.Node = &node
	}
	if c.Nodes == 0 {
		return c, fmt.Errorf("%w: num_subnet_nodes is 0", ErrConfig)
	}
	if a.BlockedAddresses != nil {
		return c, c.block(*a.BlockedAddresses)
	}
	return c, nil
}

// block replaces the operator's own list.
func (c *Config) block(list []string) error {
	if len(list) > maxOwn {
		return fmt.Errorf("%w: %d blocked_addresses, at most %d are possible", ErrConfig, len(list), maxOwn)
	}
	own := make([]string, len(list))
	for i, text := range list {
		a, err := btc.ParseAddress(c.Network, text)
		if err != nil {
			return fmt.Errorf("%w: blocked_addresses: %w", ErrConfig, err)
		}
		own[i] = a.String()
	}
	slices.Sort(own)
	c.Own = slices.Compact(own)
	return nil
}

func (c *Config) upgrade(a UpgradeArg) error {
	if a.Mode != nil {
		c.Mode = *a.Mode
	}
	if a.Nodes != nil {
		if c.Nodes = *a.Nodes; c.Nodes == 0 {
			return fmt.Errorf("%w: num_subnet_nodes is 0", ErrConfig)
		}
	}
	if a.BlockedAddresses != nil {
		return c.block(*a.BlockedAddresses)
	}
	return nil
}

func (c *Config) save(cell *stable.Cell) error {
	s := stored{Mode: c.Mode, Nodes: c.Nodes, Own: c.Own}
	if s.Own == nil {
		s.Own = []string{}
	}
	switch c.Network {
	case btc.Mainnet:
		s.Network.Mainnet = candid.Unit
	case btc.Testnet4:
		s.Network.Testnet = candid.Unit
	default:
		s.Network.Regtest = &RegtestNode{c.url}
	}
	b, err := candid.Marshal(s)
	if err != nil {
		return err
	}
	return cell.Set(b)
}

func loadConfig(cell *stable.Cell) (Config, error) {
	var s stored
	if err := candid.Unmarshal(cell.Get(nil), &s); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return newConfig(InitArg{Network: s.Network, Mode: s.Mode, Nodes: s.Nodes, BlockedAddresses: &s.Own})
}

// Blocked tells whether an address is on the built-in list or on the operator's own.
func (c *Config) Blocked(a btc.Address) bool {
	text := a.String()
	if _, own := slices.BinarySearch(c.Own, text); own {
		return true
	}
	if c.Network != btc.Mainnet {
		return false
	}
	_, listed := slices.BinarySearch(builtin, text)
	return listed
}

// What a call to check_transaction costs (the interface's documentation).
var (
	required   = cdk.CyclesOf(40_000_000_000) // to be attached
	serviceFee = cdk.CyclesOf(100_000_000)    // kept in any case
)

// The sizes that responses may have: the first suffices for almost every transaction. Larger than the second is no standard transaction.
const (
	smallResponse = 4 << 10
	largeResponse = 400 << 10
)

// maxRequest is more than any of our requests has.
const maxRequest = 1 << 10

// price is what an outcall costs: (3 M + 60 k·n)·n, 400·n for each byte of the request and 800·n for each that the response may have.
func (c *Config) price(responseBytes uint32) cdk.Cycles {
	n := uint64(c.Nodes)
	return cdk.CyclesOf((3_000_000+60_000*n)*n + 400*n*maxRequest + 800*n*uint64(responseBytes))
}
