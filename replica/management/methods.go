package management

import (
	_ "embed"
	"errors"
	"fmt"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Interface is the Candid interface of the management canister, as the interface specification has it.
//
//go:embed ic.did
var Interface string

// Errors of EffectiveCanister; test with errors.Is.
var (
	ErrUnknownMethod = errors.New("the management canister has no such method")
	ErrNotForUsers   = errors.New("only canisters can call this method of the management canister")
	ErrArgument      = errors.New("the argument does not decode")
)

// Method says who may call a method of the management canister and how.
type Method struct {
	Ingress     bool   // users may call it as an update
	Admin       bool   // subnet admins may call it as an update, although it is not for users
	Query       bool   // it may be called as a query
	Update      bool   // canisters may call it, and users if Ingress is set
	Provisional bool   // exists on local networks only
	Canister    string // the field of the argument that names the canister the call is about; "" where there is none
}

const id = "canister_id"

// Methods is the interface.
var Methods = map[string]Method{
	"create_canister":      {Update: true, Admin: true},
	"update_settings":      {Update: true, Ingress: true, Canister: id},
	"upload_chunk":         {Update: true, Ingress: true, Canister: id},
	"clear_chunk_store":    {Update: true, Ingress: true, Canister: id},
	"stored_chunks":        {Update: true, Ingress: true, Canister: id},
	"install_code":         {Update: true, Ingress: true, Canister: id},
	"install_chunked_code": {Update: true, Ingress: true, Canister: "target_canister"},
	"uninstall_code":       {Update: true, Ingress: true, Canister: id},
	"start_canister":       {Update: true, Ingress: true, Canister: id},
	"stop_canister":        {Update: true, Ingress: true, Canister: id},
	"canister_status":      {Update: true, Ingress: true, Query: true, Canister: id},
	"canister_info":        {Update: true, Canister: id},
	"canister_metrics":     {Update: true, Ingress: true, Query: true, Canister: id},
	"canister_metadata":    {Update: true, Canister: id},
	"delete_canister":      {Update: true, Ingress: true, Canister: id},
	"deposit_cycles":       {Update: true, Canister: id},
	"raw_rand":             {Update: true},
	"ecdsa_public_key":     {Update: true},
	"sign_with_ecdsa":      {Update: true},
	"schnorr_public_key":   {Update: true},
	"sign_with_schnorr":    {Update: true},
	"vetkd_public_key":     {Update: true},
	"vetkd_derive_key":     {Update: true},
	"http_request":         {Update: true},
	"subnet_info":          {Update: true},
	"fetch_canister_logs":  {Query: true, Canister: id},

	"provisional_create_canister_with_cycles": {Update: true, Ingress: true, Provisional: true},
	"provisional_top_up_canister":             {Update: true, Ingress: true, Provisional: true, Canister: id},

	"list_canisters":                    {Query: true},
	"node_metrics_history":              {Update: true},
	"take_canister_snapshot":            {Update: true, Ingress: true, Canister: id},
	"load_canister_snapshot":            {Update: true, Ingress: true, Canister: id},
	"list_canister_snapshots":           {Update: true, Ingress: true, Canister: id},
	"delete_canister_snapshot":          {Update: true, Ingress: true, Canister: id},
	"read_canister_snapshot_metadata":   {Update: true, Ingress: true, Canister: id},
	"read_canister_snapshot_data":       {Update: true, Ingress: true, Canister: id},
	"upload_canister_snapshot_metadata": {Update: true, Ingress: true, Canister: id},
	"upload_canister_snapshot_data":     {Update: true, Ingress: true, Canister: id},
	// Deprecated upstream in favour of the Bitcoin canister's own id, which answers these too.
	"bitcoin_get_balance":                 {Update: true},
	"bitcoin_get_utxos":                   {Update: true},
	"bitcoin_send_transaction":            {Update: true},
	"bitcoin_get_current_fee_percentiles": {Update: true},
	"bitcoin_get_block_headers":           {Update: true},
}

// EffectiveCanister returns the canister that a user's call of the management canister is about, which the URL of the request
// must name. any is true where the call is about no existing canister and every id of the subnet will do.
func EffectiveCanister(method string, arg []byte, query bool) (canister principal.Principal, any bool, err error) {
	m, ok := Methods[method]
	switch {
	case !ok:
		return canister, false, fmt.Errorf("%w: %q", ErrUnknownMethod, method)
	case query && !m.Query:
		return canister, false, fmt.Errorf("%w: %q is not a query", ErrUnknownMethod, method)
	case !query && !m.Ingress && !m.Admin:
		return canister, false, fmt.Errorf("%w: %q", ErrNotForUsers, method)
	}
	switch {
	case m.Provisional && m.Canister == "":
		var a ProvisionalCreateArgs
		if err := candid.Unmarshal(arg, &a); err != nil {
			return canister, false, fmt.Errorf("%w: %s: %w", ErrArgument, method, err)
		}
		if a.SpecifiedID != nil {
			return *a.SpecifiedID, false, nil
		}
		return canister, true, nil
	case m.Canister == "target_canister":
		var a struct {
			Target principal.Principal `candid:"target_canister"`
		}
		err = candid.Unmarshal(arg, &a)
		canister = a.Target
	case m.Canister != "":
		var a CanisterID
		err = candid.Unmarshal(arg, &a)
		canister = a.CanisterID
	default:
		return canister, true, nil
	}
	if err != nil {
		return canister, false, fmt.Errorf("%w: %s: %w", ErrArgument, method, err)
	}
	return canister, false, nil
}
