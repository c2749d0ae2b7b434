package core

import (
	"fusion/btc"
	"fusion/ckledger/minting"
)

// Limits are the times and bounds by which the minter works. Each is an optional init argument and may be changed by upgrades; times are in ns.
type Limits struct {
	ResubmitAfter     uint64 // a transaction in no block this long after it was signed is replaced by one that pays more
	FeeBump           uint64 // millisatoshi per vbyte by which a replacement pays more at least
	MaxFeeRate        uint64 // millisatoshi per vbyte that no transaction exceeds
	MaxFeePermille    uint64 // of each withdrawal's amount that replacements may take as fees
	CancelAfter       uint64 // a payment in no block this long after its first transaction was signed is cancelled and refunded; 0 for never
	ConsolidateEvery  uint64 // time between two consolidations
	ConsolidateInputs uint64 // of one consolidation
	ManyUtxos         uint64 // available outputs from which on a payment also spends small ones
	Suspend           uint64 // a suspended deposit is checked again after this time
	MinBatch          uint64 // pending withdrawals that start a payment at once
	MaxBatch          uint64 // withdrawals of one payment
	MaxOpen           uint64 // withdrawals that are open at a time
	MaxUpdates        uint64 // update_balance calls that run at a time
	CheckTries        uint64 // paid questions to the checker about one deposit in one call
	CheckRetry        uint64 // time between two of them
	FeeRefresh        uint64 // a fee rate is used this long
	Tick              uint64 // time between two runs of the timer
	Poll              uint64 // time between two looks for confirmations
	Resend            uint64 // time between two sendings of one transaction
	UtxoCache         uint64 // a listing of outputs is used again by update_balance for this long
	SettleAfter       uint64 // confirmations below which no reorganisation is expected to reach: until then outputs are watched
	RewardMultiple    uint64 // what is minted for deposits with up to n confirmations is worth at most this many rewards of n blocks; 0 for no bound
}

// The times and bounds of ckBTC's minter, and of this one where that has none.
const (
	second = uint64(1e9)
	hour   = 3600 * second
	day    = 24 * hour
)

// DefaultLimits are those of a network. A private chain has blocks whenever somebody mines one, and somebody is waiting.
func DefaultLimits(n btc.Network) Limits {
	l := Limits{ResubmitAfter: day, FeeBump: 1000, MaxFeeRate: 1_000_000, MaxFeePermille: 500, CancelAfter: 14 * day, ConsolidateEvery: day, ConsolidateInputs: 1000,
		ManyUtxos: 1000, Suspend: day, MinBatch: 20, MaxBatch: 100, MaxOpen: 5000, MaxUpdates: 100, CheckTries: 10, CheckRetry: second, FeeRefresh: hour,
		Tick: 5 * second, Poll: 60 * second, Resend: 600 * second, UtxoCache: 60 * second,
		SettleAfter: 144, RewardMultiple: 2}
	if n == btc.Regtest {
		l.Tick, l.Poll, l.Resend, l.UtxoCache = second, 2*second, 10*second, 0
		l.SettleAfter, l.RewardMultiple = 6, 0 // blocks cost nothing
	}
	return l
}

// maxSettle bounds SettleAfter: a week and more of blocks.
const maxSettle = 1100

// settles reports whether there are outputs with enough confirmations that are not settled.
func (c *Config) settles() bool { return c.SettleAfter > uint64(c.Confirmations) }

// Fields lists the values in their stored order: append only.
func (l *Limits) Fields() []*uint64 {
	return []*uint64{&l.ResubmitAfter, &l.FeeBump, &l.MaxFeeRate, &l.MaxFeePermille, &l.CancelAfter, &l.ConsolidateEvery, &l.ConsolidateInputs, &l.ManyUtxos,
		&l.Suspend, &l.MinBatch, &l.MaxBatch, &l.MaxOpen, &l.MaxUpdates, &l.CheckTries, &l.CheckRetry, &l.FeeRefresh, &l.Tick, &l.Poll, &l.Resend, &l.UtxoCache,
		&l.SettleAfter, &l.RewardMultiple}
}

// visit stores the number of values before them: an older log has fewer, and the rest are the network's defaults.
func (l *Limits) visit(v *minting.Visitor) {
	fields := l.Fields()
	n := uint64(len(fields))
	v.Num(&n)
	if n > uint64(len(fields)) {
		v.Fail("%d limits", n)
		return
	}
	for _, f := range fields[:n] {
		v.Num(f)
	}
}

func (l Limits) check(bad func(string, ...any) error) error {
	const year = 366 * day
	for name, at := range map[string]uint64{"resubmission_delay_nanos": l.ResubmitAfter, "consolidation_interval_nanos": l.ConsolidateEvery, "cancel_after_nanos": l.CancelAfter,
		"suspension_nanos": l.Suspend, "checker_retry_nanos": l.CheckRetry, "fee_refresh_nanos": l.FeeRefresh, "poll_nanos": l.Poll, "resend_nanos": l.Resend,
		"utxo_cache_nanos": l.UtxoCache, "tick_nanos": l.Tick} {
		if at > year {
			return bad("%s of %d is longer than a year", name, at)
		}
	}
	switch {
	case l.Tick < second/10:
		return bad("tick_nanos must be at least a tenth of a second")
	case l.FeeBump < 1000:
		return bad("fee_bump must be at least 1000 millisatoshi per vbyte, which nodes demand of a replacement")
	case l.MaxFeeRate < regtestFeeRate || l.MaxFeeRate > maxFeeRate:
		return bad("max_fee_rate must be %d to %d millisatoshi per vbyte", regtestFeeRate, maxFeeRate)
	case l.MaxFeePermille == 0 || l.MaxFeePermille > 1000:
		return bad("max_fee_permille must be 1 to 1000")
	case l.CancelAfter != 0 && l.CancelAfter < l.ResubmitAfter:
		return bad("cancel_after_nanos must not be shorter than resubmission_delay_nanos")
	case l.ConsolidateInputs < 2 || l.ConsolidateInputs > DefaultMaxInputs:
		return bad("consolidation_inputs must be 2 to %d", DefaultMaxInputs)
	case l.MinBatch == 0 || l.MaxBatch == 0 || l.MaxBatch > 1000:
		return bad("min_batch must be at least 1 and max_batch 1 to 1000")
	case l.MaxOpen == 0 || l.MaxOpen > 1_000_000 || l.MaxUpdates == 0 || l.MaxUpdates > 10_000:
		return bad("max_open_requests must be 1 to 1000000 and max_concurrent_updates 1 to 10000")
	case l.SettleAfter == 0 || l.SettleAfter > maxSettle:
		return bad("settled_after must be 1 to %d confirmations", maxSettle)
	case l.RewardMultiple > 1_000_000:
		return bad("reward_multiple must be at most 1000000")
	case l.CheckTries == 0 || l.CheckTries > 100:
		return bad("checker_retries must be 1 to 100")
	}
	return nil
}
