//go:build !byzantine

package consensus

import "github.com/cometbft/cometbft/types"

// voter is who votes for this node.
func (n *Node) voter(s *Signer) types.PrivValidator { return s }
