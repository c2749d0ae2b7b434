package gg18

import (
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/bnb-chain/tss-lib/v2/common"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"

	"fusion/chainkey"
)

// SignRaw signs with the bare library: all shares in one process, no filter, no session, no derivation. It exists for
// benchmarks, as the reference that the hardened ceremony is measured against, and nobody who holds fewer than all shares
// can call it.
func SignRaw(shares []*Share, hash [32]byte) ([64]byte, error) {
	if len(shares) == 0 || len(shares) != shares[0].threshold+1 {
		return [64]byte{}, fmt.Errorf("signing: %d shares", len(shares))
	}
	var keys []*big.Int
	for _, s := range shares {
		keys = append(keys, s.save.ShareID)
	}
	ids, err := partyIDs(keys)
	if err != nil {
		return [64]byte{}, err
	}
	n := len(shares)
	out, end, failed := make(chan tss.Message, 16*n*n), make(chan *common.SignatureData, n), make(chan error, 16*n*n)
	parties := make([]tss.Party, n)
	m := new(big.Int).SetBytes(hash[:])
	for i, s := range shares {
		save, err := s.clone()
		if err != nil {
			return [64]byte{}, err
		}
		p := tss.NewParameters(tss.S256(), tss.NewPeerContext(ids), ids[i], n, s.threshold)
		parties[i] = signing.NewLocalParty(m, p, save, out, end, 32)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	report := func(err *tss.Error) {
		if err != nil {
			failed <- err
		}
	}
	for _, p := range parties {
		wg.Go(func() { report(p.Start()) })
	}
	for {
		select {
		case err := <-failed:
			return [64]byte{}, err
		case message := <-out:
			wire, routing, err := message.WireBytes()
			if err != nil {
				return [64]byte{}, err
			}
			for i, p := range parties {
				if i == routing.From.Index || !routing.IsBroadcast && routing.To[0].Index != i {
					continue
				}
				wg.Go(func() {
					_, err := p.UpdateFromBytes(wire, routing.From, routing.IsBroadcast)
					report(err)
				})
			}
		case data := <-end:
			if len(data.Signature) != 64 {
				return [64]byte{}, errors.New("signing: the library returned a signature of wrong size")
			}
			signature := [64]byte(data.Signature)
			return signature, chainkey.Verify(chainkey.EcdsaSecp256k1, shares[0].public[:], chainkey.HashMessage(hash), signature)
		}
	}
}
