package contracts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"fusion/eth"
)

// ErrDeploy is a contract that was not created, or is not what it should be; test with errors.Is.
var ErrDeploy = errors.New("contract not deployed")

// Backend is a node, such as an ethclient.Client.
type Backend interface {
	bind.ContractBackend
	bind.DeployBackend
}

// Deploy creates a contract of this package and waits until it is mined. input is what the binding's PackConstructor makes, nil if there
// is none.
func Deploy(ctx context.Context, b Backend, auth *bind.TransactOpts, contract *bind.MetaData, input []byte) (eth.Address, error) {
	opts := *auth
	opts.Context, opts.Value, opts.Nonce = ctx, nil, nil
	address, tx, err := bind.DeployContract(&opts, common.FromHex(contract.Bin), b, input)
	if err != nil {
		return eth.Address{}, fmt.Errorf("%w: %s", ErrDeploy, Reason(err))
	}
	mined, err := bind.WaitDeployed(ctx, b, tx.Hash())
	if err != nil {
		return eth.Address{}, fmt.Errorf("%w: transaction %s: %w", ErrDeploy, tx.Hash(), err)
	}
	if mined != address {
		return eth.Address{}, fmt.Errorf("%w: transaction %s created %s, not %s", ErrDeploy, tx.Hash(), mined, address)
	}
	return eth.Address(address), nil
}

// DeployDeposit creates the helper for ether and tokens with subaccounts.
func DeployDeposit(ctx context.Context, b Backend, auth *bind.TransactOpts, minter eth.Address) (eth.Address, error) {
	return deployHelper(ctx, b, auth, &CkDepositMetaData, NewCkDeposit().PackConstructor(common.Address(minter)), minter)
}

// DeployLegacyETH creates the first helper, for ether only.
func DeployLegacyETH(ctx context.Context, b Backend, auth *bind.TransactOpts, minter eth.Address) (eth.Address, error) {
	return deployHelper(ctx, b, auth, &CkEthDepositMetaData, NewCkEthDeposit().PackConstructor(common.Address(minter)), minter)
}

// DeployLegacyERC20 creates the second helper, for tokens only.
func DeployLegacyERC20(ctx context.Context, b Backend, auth *bind.TransactOpts, minter eth.Address) (eth.Address, error) {
	return deployHelper(ctx, b, auth, &CkErc20DepositMetaData, NewCkErc20Deposit().PackConstructor(common.Address(minter)), minter)
}

func deployHelper(ctx context.Context, b Backend, auth *bind.TransactOpts, contract *bind.MetaData, input []byte, minter eth.Address) (eth.Address, error) {
	helper, err := Deploy(ctx, b, auth, contract, input)
	if err != nil {
		return eth.Address{}, err
	}
	if got, err := MinterOf(ctx, b, helper); err != nil || got != minter {
		return eth.Address{}, fmt.Errorf("%w: the helper %s forwards to %s (%v), not to %s", ErrDeploy, helper, got, err, minter)
	}
	return helper, nil
}

// MinterOf asks a helper contract whom it forwards deposits to. Compare it with the minter's address before sending anything.
func MinterOf(ctx context.Context, b bind.ContractCaller, helper eth.Address) (eth.Address, error) {
	to := common.Address(helper)
	answer, err := b.CallContract(ctx, ethereum.CallMsg{To: &to, Data: eth.PackGetMinterAddress()}, nil)
	if err != nil {
		return eth.Address{}, fmt.Errorf("helper %s: %s", helper, Reason(err))
	}
	minter, err := eth.UnpackAddress(answer)
	if err != nil {
		return eth.Address{}, fmt.Errorf("%s is no helper contract: %w", helper, err)
	}
	return minter, nil
}

// DeployToken creates a well-behaved ERC-20 token, of which auth can mint.
func DeployToken(ctx context.Context, b Backend, auth *bind.TransactOpts, name, symbol string, decimals uint8) (eth.Address, error) {
	return Deploy(ctx, b, auth, &DevTokenMetaData, NewDevToken().PackConstructor(name, symbol, decimals))
}

// DeploySwap creates an exchange without pools.
func DeploySwap(ctx context.Context, b Backend, auth *bind.TransactOpts) (eth.Address, error) {
	return Deploy(ctx, b, auth, &DevSwapMetaData, nil)
}

// Event is the log of a receipt as package eth reads it.
func Event(l *types.Log) eth.Event {
	e := eth.Event{Address: eth.Address(l.Address), Data: l.Data}
	for _, t := range l.Topics {
		e.Topics = append(e.Topics, eth.Hash(t))
	}
	return e
}

// Reason is an error of a node, with the contract's error by name if the call reverted with one of this package's.
func Reason(err error) string {
	var revert interface{ ErrorData() any }
	if !errors.As(err, &revert) {
		return err.Error()
	}
	text, _ := revert.ErrorData().(string)
	data, hexErr := hexutil.Decode(text)
	if hexErr != nil || len(data) < 4 {
		return err.Error()
	}
	if why, err := abi.UnpackRevert(data); err == nil {
		return "reverted: " + why
	}
	for _, m := range []*bind.MetaData{&CkDepositMetaData, &DevTokenMetaData, &DevSwapMetaData, &RefusesEtherMetaData} {
		parsed, parseErr := m.ParseABI()
		if parseErr != nil {
			panic(fmt.Sprintf("contracts: the binding of %s: %v", m.ID, parseErr))
		}
		known, idErr := parsed.ErrorByID([4]byte(data[:4]))
		if idErr != nil {
			continue
		}
		values, valuesErr := known.Inputs.UnpackValues(data[4:])
		if valuesErr != nil {
			continue
		}
		args := make([]string, len(values))
		for i, v := range values {
			if b, ok := v.([32]byte); ok {
				args[i] = eth.Hash(b).String()
			} else {
				args[i] = fmt.Sprint(v)
			}
		}
		return fmt.Sprintf("reverted: %s(%s)", known.Name, strings.Join(args, ", "))
	}
	return err.Error()
}
