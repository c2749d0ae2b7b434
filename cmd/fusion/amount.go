package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fusion/btc"
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

// sats shows an amount in both units.
func sats(n uint64) string {
	return fmt.Sprintf("%d sat (%d.%08d BTC)", n, n/uint64(btc.Coin), n%uint64(btc.Coin))
}
