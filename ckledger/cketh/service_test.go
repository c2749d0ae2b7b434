package cketh

import (
	"os"
	"testing"

	"fusion/cdk"
	"fusion/ic/candid"
)

// The minter can stand in for ckETH's: every client of the published interface understands it, without losing anything under an opt.
func TestServiceStandsInForPublishedInterface(t *testing.T) {
	src, err := os.ReadFile("testdata/cketh_minter.did")
	if err != nil {
		t.Fatal(err)
	}
	published, err := candid.ParseDID(string(src))
	if err != nil {
		t.Fatal(err)
	}
	service, init := cdk.ServiceType(Canister)
	if err := candid.Subtype(service, published.Service); err != nil {
		t.Error(err)
	}
	if err := candid.SubtypeStrict(service, published.Service); err != nil {
		t.Error(err)
	}
	for _, m := range published.Service.Methods {
		if service.Method(m.Name) == nil {
			t.Errorf("method %s is missing", m.Name)
		}
	}
	if len(init) != 1 || len(published.Init) != 1 {
		t.Fatalf("init arguments: %d, published %d", len(init), len(published.Init))
	}
	if err := candid.SubtypeStrict(published.Init[0].Type, init[0].Type); err != nil {
		t.Errorf("init argument: %v", err)
	}
	if _, err := candid.ParseDID(cdk.Describe(Canister).Candid); err != nil {
		t.Errorf("the rendered interface does not parse: %v", err)
	}
}
