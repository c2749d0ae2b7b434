//go:build !byzantine

package replica

import (
	"fusion/btc/utxo"
	"fusion/replica/gossip"
	"fusion/replica/outcalls"
)

// wireOf is gossip as the replica's rooms use it.
func wireOf(n gossip.Network) gossip.Network { return n }

// proposed is a block's items as they are proposed.
func proposed(items [][]byte) [][]byte { return items }

// mined is what a block says of Bitcoin.
func mined(items utxo.Items) utxo.Items { return items }

// told is a source of outcalls.
func told(s outcalls.Source) outcalls.Source { return s }
