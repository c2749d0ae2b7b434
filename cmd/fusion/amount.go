package main

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/holiman/uint256"

	"fusion/btc"
	"fusion/eth"
)

var errAmount = errors.New("not an amount")

// parseAmount reads satoshi ("100000", "100_000", "100000sat") or bitcoin ("0.001btc", "0.001 ckBTC"). A number with a point
// but no unit could mean either and is refused.
func parseAmount(text string) (uint64, error) {
	bad := func(why string) (uint64, error) {
		return 0, hint(fmt.Errorf("%q is %w: %s", text, errAmount, why), "write satoshi, as in 100000, or bitcoin, as in 0.001btc")
	}
	s := strings.ToLower(strings.TrimSpace(text))
	isBitcoin := false
	for _, unit := range []string{"ckbtc", "btc", "sats", "sat"} {
		if rest, ok := strings.CutSuffix(s, unit); ok {
			s, isBitcoin = strings.TrimSpace(rest), strings.HasSuffix(unit, "btc")
			break
		}
	}
	whole, frac, point := strings.Cut(strings.ReplaceAll(s, "_", ""), ".")
	switch {
	case strings.Trim(whole+frac, "0123456789") != "" || whole+frac == "":
		return bad("it has something else than digits")
	case point && !isBitcoin:
		return bad("satoshi have no fractions")
	case len(frac) > 8:
		return bad("a bitcoin has eight decimals")
	}
	if isBitcoin {
		whole += frac + strings.Repeat("0", 8-len(frac))
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > uint64(btc.MaxMoney) {
		return bad("it is more than all bitcoin there will ever be")
	}
	if n == 0 {
		return bad("it is zero")
	}
	return n, nil
}

// Units of ether by their names, as powers of ten of a wei. Names that end like another come first.
var etherUnits = []struct {
	name   string
	digits uint8
}{{"cketh", eth.EtherDecimals}, {"ether", eth.EtherDecimals}, {"eth", eth.EtherDecimals}, {"gwei", eth.GweiDecimals}, {"wei", 0}}

// parseWei reads wei ("1000", "1000wei"), gwei or ether ("0.01eth", "0.01 ckETH"). A number with a point but no unit could mean either and is refused.
func parseWei(text string) (*uint256.Int, error) {
	s, digits := strings.ToLower(strings.TrimSpace(text)), uint8(0)
	for _, unit := range etherUnits {
		if rest, ok := strings.CutSuffix(s, unit.name); ok {
			s, digits = strings.TrimSpace(rest), unit.digits
			break
		}
	}
	return parseUnits(text, s, digits, "write ether, as in 0.01eth, or gwei, or wei, as in 10000000000000000")
}

// parseToken reads an amount of a token in whole tokens, as in 12.5.
func parseToken(text string, decimals uint8) (*uint256.Int, error) {
	return parseUnits(text, strings.TrimSpace(text), decimals, fmt.Sprintf("write tokens with at most %d decimals, as in 12.5", decimals))
}

func parseUnits(text, number string, decimals uint8, next string) (*uint256.Int, error) {
	n, err := eth.ParseUnits(strings.ReplaceAll(number, "_", ""), decimals)
	if err == nil && n.IsZero() {
		err = errors.New("it is zero")
	}
	if err != nil {
		return nil, hint(fmt.Errorf("%q is %w: %w", text, errAmount, err), "%s", next)
	}
	return &n, nil
}

// ether shows wei.
func ether(wei *uint256.Int) string { return eth.FormatUnits(wei, eth.EtherDecimals) + " ETH" }

// sats shows an amount in both units.
func sats(n uint64) string {
	return fmt.Sprintf("%d sat (%d.%08d BTC)", n, n/uint64(btc.Coin), n%uint64(btc.Coin))
}

// toUint256 takes over a number of Ethereum's.
func toUint256(n *big.Int) (*uint256.Int, error) {
	v, overflow := uint256.FromBig(n)
	if overflow || n.Sign() < 0 {
		return nil, fmt.Errorf("%v is no amount of 256 bits", n)
	}
	return v, nil
}
