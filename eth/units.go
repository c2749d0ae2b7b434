package eth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holiman/uint256"
)

// Digits behind the point of amounts in ETH and of fees in gwei.
const (
	EtherDecimals = 18
	GweiDecimals  = 9
)

// ErrAmount is a text that is no amount; test with errors.Is.
var ErrAmount = errors.New("malformed amount")

// ParseUnits reads a decimal number such as 1.5 as an amount of the smallest unit, of which 10^decimals make one.
func ParseUnits(text string, decimals uint8) (n uint256.Int, err error) {
	whole, fraction, point := strings.Cut(text, ".")
	switch {
	case whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "":
		return n, fmt.Errorf("%w: %.80q, want a number such as 1.5", ErrAmount, text)
	case len(fraction) > int(decimals):
		return n, fmt.Errorf("%w: %.80q has %d digits behind the point, at most %d", ErrAmount, text, len(fraction), decimals)
	}
	digits := strings.TrimLeft(whole+fraction+strings.Repeat("0", int(decimals)-len(fraction)), "0")
	if digits == "" {
		return n, nil
	}
	if err := n.SetFromDecimal(digits); err != nil {
		return uint256.Int{}, fmt.Errorf("%w: %.80q: %v", ErrAmount, text, err)
	}
	return n, nil
}

// FormatUnits is the inverse of ParseUnits, without zeros at the end.
func FormatUnits(n *uint256.Int, decimals uint8) string {
	digits := n.Dec()
	if missing := int(decimals) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, fraction := digits[:len(digits)-int(decimals)], strings.TrimRight(digits[len(digits)-int(decimals):], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
