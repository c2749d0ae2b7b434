package bench

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	goethereum "github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	gethrpc "github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/trie"

	"fusion/adapters/ethereum"
	"fusion/adapters/ethereum/node"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/eth/proof"
	"fusion/eth/rpc"
)

// A chain for reading: blocks of as many transactions as mainnet's have, with one log each.
const (
	logBlocks   = 10
	logsInBlock = 200
)

// ethereumLogs reads logs as replicas do, with each block's receipts checked against its header, and as they come.
func (s *suite) ethereumLogs(ctx context.Context) (err error) {
	s.Progress.Begin("Ethereum logs")
	n, err := node.Start(node.Config{Manual: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	token, first, last, err := makeLogs(ctx, n)
	if err != nil {
		return err
	}
	q := rpc.GetLogs(rpc.Filter{Addresses: []eth.Address{token}, From: rpc.Number(first), To: rpc.Number(last)})
	// A new client each time: it remembers the blocks that it has checked.
	rate := func(verify bool) (float64, error) {
		return s.logRate(ctx, func() (int, error) {
			c, err := ethereum.New(ethereum.Config{ChainID: node.ChainID, Providers: []ethereum.Provider{{URL: n.URL()}}, Verify: verify})
			if err != nil {
				return 0, err
			}
			defer c.Close()
			answer := c.Ask(ctx, q)
			if answer.Err != nil {
				return 0, answer.Err
			}
			logs, err := rpc.ParseLogs(answer.Result)
			return len(logs), err
		})
	}
	verified, err := rate(true)
	if err != nil {
		return err
	}
	plain, err := rate(false)
	if err != nil {
		return err
	}
	geth, err := s.logRate(ctx, func() (int, error) {
		logs, err := n.Client().FilterLogs(ctx, goethereum.FilterQuery{Addresses: []common.Address{common.Address(token)},
			FromBlock: new(big.Int).SetUint64(first), ToBlock: new(big.Int).SetUint64(last)})
		return len(logs), err
	})
	if err != nil {
		return err
	}
	ours, theirs, err := s.proofTime(ctx, n, last)
	if err != nil {
		return err
	}
	s.add("eth_logs_verified_per_s", verified, "logs/s", "the same client without verification", plain)
	s.add("eth_logs_per_s", plain, "logs/s", "go-ethereum's ethclient, in the same process as the node", geth)
	s.add("eth_proof_verification_ms", ours, "ms/block of 200 receipts, header included", "go-ethereum's own root of the same receipts", theirs)
	return nil
}

// proofTime is how long it takes to check a block's header and receipts, beside what go-ethereum takes for the receipts' root alone.
func (s *suite) proofTime(ctx context.Context, n *node.Node, number uint64) (ours, theirs float64, err error) {
	c, err := ethereum.New(ethereum.Config{ChainID: node.ChainID, Providers: []ethereum.Provider{{URL: n.URL()}}})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	answer := c.Ask(ctx, rpc.BlockByNumber(rpc.Number(number)))
	if answer.Err != nil {
		return 0, 0, answer.Err
	}
	block, err := rpc.ParseBlock(answer.Result)
	if err != nil {
		return 0, 0, err
	}
	if answer = c.Ask(ctx, rpc.BlockReceipts(rpc.Number(number))); answer.Err != nil {
		return 0, 0, answer.Err
	}
	receipts, _, err := rpc.ParseReceipts(answer.Result)
	if err != nil {
		return 0, 0, err
	}
	decoded, err := n.Client().BlockReceipts(ctx, gethrpc.BlockNumberOrHashWithNumber(gethrpc.BlockNumber(number)))
	if err != nil {
		return 0, 0, err
	}
	if ours, err = s.eachMs(func() error { return errors.Join(proof.Header(block), proof.Receipts(block, receipts)) }); err != nil {
		return 0, 0, err
	}
	theirs, err = s.eachMs(func() error {
		if root := types.DeriveSha(types.Receipts(decoded), trie.NewStackTrie(nil)); eth.Hash(root) != block.ReceiptsRoot {
			return fmt.Errorf("the receipts of block %d have root %s", number, root)
		}
		return nil
	})
	return ours, theirs, err
}

// eachMs is the mean time of many runs.
func (s *suite) eachMs(run func() error) (float64, error) {
	runs := 0
	for began := time.Now(); ; runs++ {
		if took := time.Since(began); runs > 0 && took >= s.Duration/10 {
			return milliseconds(took) / float64(runs), nil
		}
		if err := run(); err != nil {
			return 0, err
		}
	}
}

// logRate repeats a reading of all logs.
func (s *suite) logRate(ctx context.Context, read func() (int, error)) (float64, error) {
	var total int
	for began := time.Now(); ; {
		n, err := read()
		if err != nil {
			return 0, err
		}
		if n != logBlocks*logsInBlock {
			return 0, fmt.Errorf("%d logs, want %d", n, logBlocks*logsInBlock)
		}
		total += n
		if took := time.Since(began); took >= s.Duration/2 {
			return float64(total) / took.Seconds(), nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// makeLogs fills final blocks with a token's transfers.
func makeLogs(ctx context.Context, n *node.Node) (token eth.Address, first, last uint64, err error) {
	creation := append(common.FromHex(contracts.DevTokenMetaData.Bin), contracts.NewDevToken().PackConstructor("Bench", "BENCH", 6)...)
	hash, err := n.Transact(ctx, nil, nil, creation)
	if err != nil {
		return token, 0, 0, err
	}
	if first, err = n.Mine(1); err != nil {
		return token, 0, 0, err
	}
	receipt, err := n.Client().TransactionReceipt(ctx, hash)
	if err != nil {
		return token, 0, 0, err
	}
	mint := contracts.NewDevToken().PackMint(n.Faucet(), big.NewInt(1))
	for range logBlocks {
		for range logsInBlock {
			if _, err := n.Transact(ctx, &receipt.ContractAddress, nil, mint); err != nil {
				return token, 0, 0, err
			}
		}
		if last, err = n.Mine(1); err != nil {
			return token, 0, 0, err
		}
	}
	_, err = n.Mine(node.DefaultFinalityDepth)
	return eth.Address(receipt.ContractAddress), first + 1, last, err
}
