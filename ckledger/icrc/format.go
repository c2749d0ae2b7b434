package icrc

import (
	"strings"
	"time"

	"fusion/ic/candid"
)

// decimal shows an amount with its decimal point and without trailing zeros.
func decimal(n candid.Nat, decimals int) string {
	s := n.Big().String()
	if decimals == 0 {
		return s
	}
	if len(s) <= decimals {
		s = strings.Repeat("0", decimals+1-len(s)) + s
	}
	whole, frac := s[:len(s)-decimals], strings.TrimRight(s[len(s)-decimals:], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// utc shows a time in seconds since 1970.
func utc(seconds uint64) string {
	const latest = 253402300799 // the end of the year 9999
	return time.Unix(int64(min(seconds, latest)), 0).UTC().Format("Mon, 2 Jan 2006 15:04:05 UTC")
}
