package canister

import (
	"slices"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The Candid types of the interface, in the order of the .did file. Hashes, addresses and data are texts of hexadecimal digits after 0x.

// Block is a block's header with the hashes of its transactions.
type Block struct {
	Miner            string      `candid:"miner"`
	TotalDifficulty  *candid.Nat `candid:"totalDifficulty"`
	ReceiptsRoot     string      `candid:"receiptsRoot"`
	StateRoot        string      `candid:"stateRoot"`
	Hash             string      `candid:"hash"`
	Difficulty       *candid.Nat `candid:"difficulty"`
	Size             candid.Nat  `candid:"size"`
	Uncles           []string    `candid:"uncles"`
	BaseFeePerGas    *candid.Nat `candid:"baseFeePerGas"`
	ExtraData        string      `candid:"extraData"`
	TransactionsRoot *string     `candid:"transactionsRoot"`
	Sha3Uncles       string      `candid:"sha3Uncles"`
	Nonce            candid.Nat  `candid:"nonce"`
	Number           candid.Nat  `candid:"number"`
	Timestamp        candid.Nat  `candid:"timestamp"`
	Transactions     []string    `candid:"transactions"`
	GasLimit         candid.Nat  `candid:"gasLimit"`
	LogsBloom        string      `candid:"logsBloom"`
	ParentHash       string      `candid:"parentHash"`
	GasUsed          candid.Nat  `candid:"gasUsed"`
	MixHash          string      `candid:"mixHash"`
}

// BlockTag names a block.
type BlockTag struct {
	candid.Variant
	Earliest  *candid.Null
	Safe      *candid.Null
	Finalized *candid.Null
	Latest    *candid.Null
	Number    *candid.Nat
	Pending   *candid.Null
}

// EthMainnetService is a provider of Ethereum.
type EthMainnetService struct {
	candid.Variant
	Alchemy    *candid.Null
	Ankr       *candid.Null
	BlockPi    *candid.Null
	Cloudflare *candid.Null
	PublicNode *candid.Null
	Llama      *candid.Null
}

// EthSepoliaService is a provider of Sepolia.
type EthSepoliaService struct {
	candid.Variant
	Alchemy    *candid.Null
	Ankr       *candid.Null
	BlockPi    *candid.Null
	PublicNode *candid.Null
	Sepolia    *candid.Null
}

// L2MainnetService is a provider of a chain on top of Ethereum.
type L2MainnetService struct {
	candid.Variant
	Alchemy    *candid.Null
	Ankr       *candid.Null
	BlockPi    *candid.Null
	PublicNode *candid.Null
	Llama      *candid.Null
}

// FeeHistory is the answer of eth_feeHistory, in wei for a unit of gas.
type FeeHistory struct {
	Reward        [][]candid.Nat `candid:"reward"`
	GasUsedRatio  []float64      `candid:"gasUsedRatio"`
	OldestBlock   candid.Nat     `candid:"oldestBlock"`
	BaseFeePerGas []candid.Nat   `candid:"baseFeePerGas"`
}

// FeeHistoryArgs asks for fees.
type FeeHistoryArgs struct {
	BlockCount        candid.Nat `candid:"blockCount"`
	NewestBlock       BlockTag   `candid:"newestBlock"`
	RewardPercentiles *[]byte    `candid:"rewardPercentiles"`
}

// GetLogsArgs asks for logs.
type GetLogsArgs struct {
	FromBlock *BlockTag   `candid:"fromBlock"`
	ToBlock   *BlockTag   `candid:"toBlock"`
	Addresses []string    `candid:"addresses"`
	Topics    *[][]string `candid:"topics"`
}

// GetTransactionCountArgs asks for an account's nonce.
type GetTransactionCountArgs struct {
	Address string   `candid:"address"`
	Block   BlockTag `candid:"block"`
}

// CallArgs asks to run a transaction without keeping what it does.
type CallArgs struct {
	Transaction TransactionRequest `candid:"transaction"`
	Block       *BlockTag          `candid:"block"`
}

// TransactionRequest is the transaction of a CallArgs.
type TransactionRequest struct {
	Type                 *string            `candid:"type"`
	Nonce                *candid.Nat        `candid:"nonce"`
	To                   *string            `candid:"to"`
	From                 *string            `candid:"from"`
	Gas                  *candid.Nat        `candid:"gas"`
	Value                *candid.Nat        `candid:"value"`
	Input                *string            `candid:"input"`
	GasPrice             *candid.Nat        `candid:"gasPrice"`
	MaxPriorityFeePerGas *candid.Nat        `candid:"maxPriorityFeePerGas"`
	MaxFeePerGas         *candid.Nat        `candid:"maxFeePerGas"`
	MaxFeePerBlobGas     *candid.Nat        `candid:"maxFeePerBlobGas"`
	AccessList           *[]AccessListEntry `candid:"accessList"`
	BlobVersionedHashes  *[]string          `candid:"blobVersionedHashes"`
	Blobs                *[]string          `candid:"blobs"`
	ChainID              *candid.Nat        `candid:"chainId"`
}

// AccessListEntry is what a transaction says it will touch.
type AccessListEntry struct {
	Address     string   `candid:"address"`
	StorageKeys []string `candid:"storageKeys"`
}

// HTTPHeader is a header sent to a provider.
type HTTPHeader struct {
	Value string `candid:"value"`
	Name  string `candid:"name"`
}

// HTTPOutcallError says why a provider could not be asked, or not be understood.
type HTTPOutcallError struct {
	candid.Variant
	IcError                    *IcError
	InvalidHTTPJSONRPCResponse *InvalidResponse `candid:"InvalidHttpJsonRpcResponse"`
}

// IcError is a rejection of the subnet.
type IcError struct {
	Code    RejectionCode `candid:"code"`
	Message string        `candid:"message"`
}

// InvalidResponse is an answer that is no JSON-RPC.
type InvalidResponse struct {
	Status       uint16  `candid:"status"`
	Body         string  `candid:"body"`
	ParsingError *string `candid:"parsingError"`
}

// InstallArgs is what the canister of the Internet Computer is installed with; here Options say it.
type InstallArgs struct {
	Demo             *bool                  `candid:"demo"`
	ManageAPIKeys    *[]principal.Principal `candid:"manageApiKeys"`
	LogFilter        *LogFilter             `candid:"logFilter"`
	OverrideProvider *OverrideProvider      `candid:"overrideProvider"`
	NodesInSubnet    *uint32                `candid:"nodesInSubnet"`
}

// LogFilter is for the canister's own log, which this one does not have.
type LogFilter struct {
	candid.Variant
	ShowAll     *candid.Null
	HideAll     *candid.Null
	ShowPattern *string
	HidePattern *string
}

// RegexSubstitution replaces what a pattern finds.
type RegexSubstitution struct {
	Pattern     string `candid:"pattern"`
	Replacement string `candid:"replacement"`
}

// OverrideProvider sends requests elsewhere than to the provider that was named.
type OverrideProvider struct {
	OverrideURL *RegexSubstitution `candid:"overrideUrl"`
}

// JSONRPCError is a node's error.
type JSONRPCError struct {
	Code    int64  `candid:"code"`
	Message string `candid:"message"`
}

// LogEntry is an event of a contract.
type LogEntry struct {
	TransactionHash  *string     `candid:"transactionHash"`
	BlockNumber      *candid.Nat `candid:"blockNumber"`
	Data             string      `candid:"data"`
	BlockHash        *string     `candid:"blockHash"`
	TransactionIndex *candid.Nat `candid:"transactionIndex"`
	Topics           []string    `candid:"topics"`
	Address          string      `candid:"address"`
	LogIndex         *candid.Nat `candid:"logIndex"`
	Removed          bool        `candid:"removed"`
}

// Result is a value or an error.
type Result[T any] struct {
	candid.Variant
	Ok  *T
	Err *RPCError
}

// Multi is what all services gave, or what each of them did.
type Multi[T any] struct {
	candid.Variant
	Consistent   *Result[T]
	Inconsistent *[]ServiceResult[T]
}

// ServiceResult is what one service gave.
type ServiceResult[T any] struct {
	Service RPCService `candid:"0"`
	Result  Result[T]  `candid:"1"`
}

// ProviderError says that the question could not be put to the providers.
type ProviderError struct {
	candid.Variant
	TooFewCycles            *TooFewCycles
	MissingRequiredProvider *candid.Null
	ProviderNotFound        *candid.Null
	NoPermission            *candid.Null
	InvalidRPCConfig        *string `candid:"InvalidRpcConfig"`
}

// TooFewCycles says what a call costs.
type TooFewCycles struct {
	Expected candid.Nat `candid:"expected"`
	Received candid.Nat `candid:"received"`
}

// Provider is an entry of the table of providers.
type Provider struct {
	ProviderID uint64      `candid:"providerId"`
	ChainID    uint64      `candid:"chainId"`
	Access     RPCAccess   `candid:"access"`
	Alias      *RPCService `candid:"alias"`
}

// RPCAccess is how a provider is asked.
type RPCAccess struct {
	candid.Variant
	Authenticated   *Authenticated
	Unauthenticated *Unauthenticated
}

// Authenticated is a provider that wants a key; without one its public URL is used, if it has one.
type Authenticated struct {
	Auth      RPCAuth `candid:"auth"`
	PublicURL *string `candid:"publicUrl"`
}

// Unauthenticated is a provider that wants no key.
type Unauthenticated struct {
	PublicURL string `candid:"publicUrl"`
}

// RPCAuth is how a provider gets its key: in a header, or in place of {API_KEY} in its URL.
type RPCAuth struct {
	candid.Variant
	BearerToken  *BearerToken
	URLParameter *URLParameter `candid:"UrlParameter"`
}

// BearerToken is the URL of a provider that gets its key in a header.
type BearerToken struct {
	URL string `candid:"url"`
}

// URLParameter is a URL with {API_KEY} in it.
type URLParameter struct {
	URLPattern string `candid:"urlPattern"`
}

// RejectionCode is that of the Internet Computer.
type RejectionCode struct {
	candid.Variant
	NoError            *candid.Null
	CanisterError      *candid.Null
	SysTransient       *candid.Null
	DestinationInvalid *candid.Null
	Unknown            *candid.Null
	SysFatal           *candid.Null
	CanisterReject     *candid.Null
}

// RPCConfig is how a question is put, and what of the answers is believed.
type RPCConfig struct {
	ResponseSizeEstimate *uint64            `candid:"responseSizeEstimate"`
	ResponseConsensus    *ConsensusStrategy `candid:"responseConsensus"`
}

// GetLogsRPCConfig is that of eth_getLogs.
type GetLogsRPCConfig struct {
	ResponseSizeEstimate *uint64            `candid:"responseSizeEstimate"`
	ResponseConsensus    *ConsensusStrategy `candid:"responseConsensus"`
	MaxBlockRange        *uint32            `candid:"maxBlockRange"`
}

// ConsensusStrategy says how many services must give the same.
type ConsensusStrategy struct {
	candid.Variant
	Equality  *candid.Null
	Threshold *Threshold
}

// Threshold wants Min of Total services to give the same.
type Threshold struct {
	Total *uint8 `candid:"total"`
	Min   uint8  `candid:"min"`
}

// RPCError says why there is no result.
type RPCError struct {
	candid.Variant
	JSONRPCError     *JSONRPCError     `candid:"JsonRpcError"`
	ProviderError    *ProviderError    `candid:"ProviderError"`
	ValidationError  *ValidationError  `candid:"ValidationError"`
	HTTPOutcallError *HTTPOutcallError `candid:"HttpOutcallError"`
}

// RPCAPI is a service by its URL.
type RPCAPI struct {
	URL     string        `candid:"url"`
	Headers *[]HTTPHeader `candid:"headers"`
}

// RPCService is who is asked.
type RPCService struct {
	candid.Variant
	Provider        *uint64
	Custom          *RPCAPI
	EthSepolia      *EthSepoliaService
	EthMainnet      *EthMainnetService
	ArbitrumOne     *L2MainnetService
	BaseMainnet     *L2MainnetService
	OptimismMainnet *L2MainnetService
}

// RPCServices is a chain with those who are asked.
type RPCServices struct {
	candid.Variant
	Custom          *CustomServices
	EthSepolia      **[]EthSepoliaService
	EthMainnet      **[]EthMainnetService
	ArbitrumOne     **[]L2MainnetService
	BaseMainnet     **[]L2MainnetService
	OptimismMainnet **[]L2MainnetService
}

// CustomServices is a chain by its id with services by their URLs.
type CustomServices struct {
	ChainID  uint64   `candid:"chainId"`
	Services []RPCAPI `candid:"services"`
}

// SendRawTransactionStatus is what became of a transaction that was sent; Ok has its hash.
type SendRawTransactionStatus struct {
	candid.Variant
	Ok                **string
	NonceTooLow       *candid.Null
	NonceTooHigh      *candid.Null
	InsufficientFunds *candid.Null
}

// TransactionReceipt is the outcome of a transaction.
type TransactionReceipt struct {
	To                *string     `candid:"to"`
	Status            *candid.Nat `candid:"status"`
	Root              *string     `candid:"root"`
	TransactionHash   string      `candid:"transactionHash"`
	BlockNumber       candid.Nat  `candid:"blockNumber"`
	From              string      `candid:"from"`
	Logs              []LogEntry  `candid:"logs"`
	BlockHash         string      `candid:"blockHash"`
	Type              string      `candid:"type"`
	TransactionIndex  candid.Nat  `candid:"transactionIndex"`
	EffectiveGasPrice candid.Nat  `candid:"effectiveGasPrice"`
	LogsBloom         string      `candid:"logsBloom"`
	ContractAddress   *string     `candid:"contractAddress"`
	GasUsed           candid.Nat  `candid:"gasUsed"`
	CumulativeGasUsed candid.Nat  `candid:"cumulativeGasUsed"`
}

// ValidationError says what is wrong with an argument.
type ValidationError struct {
	candid.Variant
	Custom     *string
	InvalidHex *string
}

// GetLogsBatchArgs is eth_getLogs in a batch.
type GetLogsBatchArgs struct {
	Args          GetLogsArgs `candid:"args"`
	MaxBlockRange *uint32     `candid:"maxBlockRange"`
}

// BatchRequest is one request of a batch.
type BatchRequest struct {
	candid.Variant
	EthFeeHistory            *FeeHistoryArgs
	EthGetBlockByNumber      *BlockTag
	EthGetLogs               *GetLogsBatchArgs
	EthGetTransactionCount   *GetTransactionCountArgs
	EthGetTransactionReceipt *string
	EthSendRawTransaction    *string
	EthCall                  *CallArgs
}

// BatchResult is one result of a batch.
type BatchResult struct {
	candid.Variant
	EthFeeHistory            *Result[FeeHistory]
	EthGetBlockByNumber      *Result[Block]
	EthGetLogs               *Result[[]LogEntry]
	EthGetTransactionCount   *Result[candid.Nat]
	EthGetTransactionReceipt *Result[*TransactionReceipt]
	EthSendRawTransaction    *Result[SendRawTransactionStatus]
	EthCall                  *Result[string]
}

// serviceID pairs a service with its number in the table.
type serviceID struct {
	Service RPCService `candid:"0"`
	ID      uint64     `candid:"1"`
}

// keyUpdate is an element of updateApiKeys' argument.
type keyUpdate struct {
	ID  uint64  `candid:"0"`
	Key *string `candid:"1"`
}

// Service is the Candid type of the canister's interface, and Init that of the argument it would be installed with.
func Service() *candid.Type {
	t := &candid.Type{Kind: candid.KindService}
	add := func(name string, mode candid.FuncMode, args, results []*candid.Type) {
		f := &candid.FuncType{Mode: mode}
		for _, a := range args {
			f.Args = append(f.Args, candid.Arg{Type: a})
		}
		for _, r := range results {
			f.Results = append(f.Results, candid.Arg{Type: r})
		}
		t.Methods = append(t.Methods, candid.Method{Name: name, Type: &candid.Type{Kind: candid.KindFunc, Func: f}})
	}
	for name, m := range methods {
		mode := candid.Update
		if m.query {
			mode = candid.Query
		}
		add(name, mode, m.args, m.results)
	}
	slices.SortFunc(t.Methods, func(a, b candid.Method) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return t
}

// Init is the Candid type of the argument that the canister would be installed with.
func Init() *candid.Type { return candid.MustTypeFor[InstallArgs]() }
