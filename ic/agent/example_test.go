package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

func Example() {
	id, err := identity.Load("identity.pem")
	if err != nil {
		log.Fatal(err)
	}
	a, err := agent.New("http://127.0.0.1:4943", agent.Options{Identity: id, FetchRootKey: true})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()

	ledger := principal.MustParse("mxzaz-hqaaa-aaaar-qaada-cai")
	account := struct {
		Owner      principal.Principal `candid:"owner"`
		Subaccount *[]byte             `candid:"subaccount"`
	}{Owner: id.Sender()}
	var balance candid.Nat
	err = a.Ask(context.Background(), ledger, "icrc1_balance_of", []any{account}, []any{&balance})
	var rejected *agent.RejectError
	switch {
	case errors.As(err, &rejected):
		fmt.Println("the canister refused:", rejected.Message)
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(balance)
}
