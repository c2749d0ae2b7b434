package testnets

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

// TestPoolBehind: a node's pool knows of the sender's money later than its newest block. The transaction is sent again, unless the newest block has too little, too.
func TestPoolBehind(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1337)), &types.DynamicFeeTx{ChainID: big.NewInt(1337), GasFeeCap: big.NewInt(10), Gas: 21000, To: &common.Address{}})
	if err != nil {
		t.Fatal(err)
	}
	for balance, want := range map[int]int{210_000: 3, 209_999: 1} {
		sent := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				ID     json.RawMessage
				Method string
			}
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			result := fmt.Sprintf(`"result":"0x%x"`, balance)
			if q.Method == "eth_sendRawTransaction" {
				result = fmt.Sprintf(`"result":"%s"`, tx.Hash())
				if sent++; sent < 3 {
					result = `"error":{"code":-32000,"message":"insufficient funds for gas * price + value: balance 0, tx cost 210000, overshot 210000"}`
				}
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, q.ID, result)
		}))
		c, err := ethclient.DialContext(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		err = patient{c}.SendTransaction(t.Context(), tx)
		if sent != want || (err == nil) != (want == 3) || err != nil && !strings.Contains(err.Error(), "insufficient funds") {
			t.Errorf("with %d wei it was sent %d times: %v", balance, sent, err)
		}
		c.Close()
		s.Close()
	}
}
