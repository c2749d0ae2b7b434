package checker

import "fusion/ic/candid"

// The types of the interface, testdata/btc_checker.did, in its words.
type (
	// CheckAddressArgs asks about an address.
	CheckAddressArgs struct {
		Address string `candid:"address"`
	}
	// CheckAddressResponse is the result of check_address.
	CheckAddressResponse struct {
		candid.Variant
		Passed *candid.Null
		Failed *candid.Null
	}
	// CheckTransactionArgs asks about a transaction; the id is in internal byte order.
	CheckTransactionArgs struct {
		Txid []byte `candid:"txid"`
	}
	// CheckTransactionStrArgs asks about a transaction by the id that explorers show.
	CheckTransactionStrArgs struct {
		Txid string `candid:"txid"`
	}
	// CheckTransactionQueryArgs asks by either.
	CheckTransactionQueryArgs struct {
		candid.Variant
		TxIDStr *string `candid:"TxIdStr"`
		TxIDBin *[]byte `candid:"TxIdBin"`
	}
	// CheckTransactionResponse is the result of check_transaction. Failed lists the blocked addresses.
	CheckTransactionResponse struct {
		candid.Variant
		Passed  *candid.Null
		Failed  *[]string
		Unknown *CheckTransactionStatus
	}
	// CheckTransactionStatus says why there is no verdict.
	CheckTransactionStatus struct {
		candid.Variant
		NotEnoughCycles *candid.Null
		Retriable       *CheckTransactionRetriable
		Error           *CheckTransactionIrrecoverableError
	}
	// CheckTransactionRetriable is a reason that passes.
	CheckTransactionRetriable struct {
		candid.Variant
		Pending                *candid.Null
		HighLoad               *candid.Null
		TransientInternalError *string
	}
	// CheckTransactionIrrecoverableError is a reason that stays.
	CheckTransactionIrrecoverableError struct {
		candid.Variant
		ResponseTooLarge     *TooLarge
		InvalidTransactionID *string `candid:"InvalidTransactionId"`
		InvalidTransaction   *string
	}
	// TooLarge names the transaction that did not fit.
	TooLarge struct {
		Txid []byte `candid:"txid"`
	}
	// CheckTransactionQueryResponse is the result of check_transaction_query.
	CheckTransactionQueryResponse struct {
		candid.Variant
		Passed  *candid.Null
		Failed  *[]string
		Unknown *candid.Null
	}
	// InitArg describes a new checker. BlockedAddresses is ours: addresses of the network that are blocked beside the built-in ones.
	InitArg struct {
		Network          BtcNetwork `candid:"btc_network"`
		Mode             CheckMode  `candid:"check_mode"`
		Nodes            uint16     `candid:"num_subnet_nodes"`
		BlockedAddresses *[]string  `candid:"blocked_addresses"`
	}
	// UpgradeArg changes what it names. BlockedAddresses is ours and replaces the list of the arguments before.
	UpgradeArg struct {
		Mode             *CheckMode `candid:"check_mode"`
		Nodes            *uint16    `candid:"num_subnet_nodes"`
		BlockedAddresses *[]string  `candid:"blocked_addresses"`
	}
	// CheckArg is the argument of an installation or an upgrade.
	CheckArg struct {
		candid.Variant
		Init    *InitArg     `candid:"InitArg"`
		Upgrade **UpgradeArg `candid:"UpgradeArg"`
	}
	// BtcNetwork is the Bitcoin network. Testnet is testnet4.
	BtcNetwork struct {
		candid.Variant
		Mainnet *candid.Null `candid:"mainnet"`
		Testnet *candid.Null `candid:"testnet"`
		Regtest *RegtestNode `candid:"regtest"`
	}
	// RegtestNode is the node that knows a private network's transactions: http://user:password@host:port.
	RegtestNode struct {
		URL string `candid:"json_rpc_url"`
	}
	// CheckMode is what the checker does.
	CheckMode struct {
		candid.Variant
		AcceptAll *candid.Null
		RejectAll *candid.Null
		Normal    *candid.Null
	}
)

// The modes.
var (
	AcceptAll = CheckMode{AcceptAll: candid.Unit}
	RejectAll = CheckMode{RejectAll: candid.Unit}
	Normal    = CheckMode{Normal: candid.Unit}
)

func (m CheckMode) String() string {
	switch {
	case m.AcceptAll != nil:
		return "AcceptAll"
	case m.RejectAll != nil:
		return "RejectAll"
	}
	return "Normal"
}

func passed() CheckTransactionResponse { return CheckTransactionResponse{Passed: candid.Unit} }

func unknown(s CheckTransactionStatus) CheckTransactionResponse {
	return CheckTransactionResponse{Unknown: &s}
}

var notEnoughCycles = CheckTransactionStatus{NotEnoughCycles: candid.Unit}

func retriable(r CheckTransactionRetriable) CheckTransactionStatus {
	return CheckTransactionStatus{Retriable: &r}
}

func irrecoverable(e CheckTransactionIrrecoverableError) CheckTransactionStatus {
	return CheckTransactionStatus{Error: &e}
}
