// Code generated via abigen V2 - DO NOT EDIT.
// This file is a generated binding and any manual changes will be lost.

package contracts

import (
	"bytes"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Reference imports to suppress errors if they are not otherwise used.
var (
	_ = bytes.Equal
	_ = errors.New
	_ = big.NewInt
	_ = common.Big1
	_ = types.BloomLookup
	_ = abi.ConvertType
)

// CkDepositMetaData contains all meta data concerning the CkDeposit contract.
var CkDepositMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[{\"internalType\":\"address\",\"name\":\"minterAddress\",\"type\":\"address\"}],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[],\"name\":\"AmountIsZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"}],\"name\":\"BadPrincipal\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"EtherRefused\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"MinterIsZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"NotAToken\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"Reentered\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"TokenRefused\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"sent\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"received\",\"type\":\"uint256\"}],\"name\":\"WrongAmount\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"erc20ContractAddress\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"},{\"indexed\":false,\"internalType\":\"bytes32\",\"name\":\"subaccount\",\"type\":\"bytes32\"}],\"name\":\"ReceivedEthOrErc20\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"erc20Address\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"},{\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"},{\"internalType\":\"bytes32\",\"name\":\"subaccount\",\"type\":\"bytes32\"}],\"name\":\"depositErc20\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"},{\"internalType\":\"bytes32\",\"name\":\"subaccount\",\"type\":\"bytes32\"}],\"name\":\"depositEth\",\"outputs\":[],\"stateMutability\":\"payable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"getMinterAddress\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"}]",
	ID:  "2686386251c2fd7cfbd5ebc8a585f598d0",
	Bin: "0x60a060405234801561000f575f5ffd5b5060405161089338038061089383398101604081905261002e91610068565b806001600160a01b03811661005657604051630693ecd760e01b815260040160405180910390fd5b6001600160a01b031660805250610095565b5f60208284031215610078575f5ffd5b81516001600160a01b038116811461008e575f5ffd5b9392505050565b6080516107cb6100c85f395f8181605a0152818161029c015281816103ca0152818161045101526105da01526107cb5ff3fe608060405260043610610033575f3560e01c806317c819c41461003757806393e5d42a1461004c578063db9751af14610095575b5f5ffd5b61004a6100453660046106b5565b6100b4565b005b348015610057575f5ffd5b507f00000000000000000000000000000000000000000000000000000000000000006040516001600160a01b03909116815260200160405180910390f35b3480156100a0575f5ffd5b5061004a6100af3660046106d5565b610140565b5f5460ff16156100d75760405163b5dfd9e560e01b815260040160405180910390fd5b5f805460ff191660011790556100ec826101d9565b6100f4610279565b6040805134815260208101839052839133915f917f918adbebdb8f3b36fc337ab76df10b147b2def5c9dd62cb3456d9aeca40e0b07910160405180910390a450505f805460ff19169055565b5f5460ff16156101635760405163b5dfd9e560e01b815260040160405180910390fd5b5f805460ff19166001179055610178826101d9565b6101828484610345565b6040805184815260208101839052839133916001600160a01b038816917f918adbebdb8f3b36fc337ab76df10b147b2def5c9dd62cb3456d9aeca40e0b07910160405180910390a450505f805460ff191690555050565b5f81901a8015806101ea5750601d81115b8061020c57506101fb816001610745565b61020690600861075e565b82901b15155b8061023657507f010400000000000000000000000000000000000000000000000000000000000082145b15610275576040517f498c79bb000000000000000000000000000000000000000000000000000000008152600481018390526024015b60405180910390fd5b5050565b345f03610299576040516310eb483f60e21b815260040160405180910390fd5b5f7f00000000000000000000000000000000000000000000000000000000000000006001600160a01b0316346040515f6040518083038185875af1925050503d805f8114610302576040519150601f19603f3d011682016040523d82523d5f602084013e610307565b606091505b5050905080610342576040517ff5f2dda500000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b50565b805f03610365576040516310eb483f60e21b815260040160405180910390fd5b816001600160a01b03163b5f036103b3576040517ff0ae59ab0000000000000000000000000000000000000000000000000000000081526001600160a01b038316600482015260240161026c565b6040516370a0823160e01b81526001600160a01b037f0000000000000000000000000000000000000000000000000000000000000000811660048301525f91908416906370a0823190602401602060405180830381865afa15801561041a573d5f5f3e3d5ffd5b505050506040513d601f19601f8201168201806040525081019061043e9190610775565b6040513360248201526001600160a01b037f000000000000000000000000000000000000000000000000000000000000000081166044830152606482018590529192505f9182919086169060840160408051601f198184030181529181526020820180517bffffffffffffffffffffffffffffffffffffffffffffffffffffffff167f23b872dd00000000000000000000000000000000000000000000000000000000179052516104ef919061078c565b5f604051808303815f865af19150503d805f8114610528576040519150601f19603f3d011682016040523d82523d5f602084013e61052d565b606091505b50915091508161056b5780515f03610563576040516358294a4360e01b81526001600160a01b038616600482015260240161026c565b805160208201fd5b80511580159061059a575060208151108061059a5750808060200190518101906105959190610775565b600114155b156105c3576040516358294a4360e01b81526001600160a01b038616600482015260240161026c565b6040516370a0823160e01b81526001600160a01b037f0000000000000000000000000000000000000000000000000000000000000000811660048301525f9185918816906370a0823190602401602060405180830381865afa15801561062b573d5f5f3e3d5ffd5b505050506040513d601f19601f8201168201806040525081019061064f9190610775565b61065991906107b8565b90508481146106ad576040517fc78866c30000000000000000000000000000000000000000000000000000000081526001600160a01b0387166004820152602481018690526044810182905260640161026c565b505050505050565b5f5f604083850312156106c6575f5ffd5b50508035926020909101359150565b5f5f5f5f608085870312156106e8575f5ffd5b84356001600160a01b03811681146106fe575f5ffd5b966020860135965060408601359560600135945092505050565b7f4e487b71000000000000000000000000000000000000000000000000000000005f52601160045260245ffd5b8082018082111561075857610758610718565b92915050565b808202811582820484141761075857610758610718565b5f60208284031215610785575f5ffd5b5051919050565b5f82515f5b818110156107ab5760208186018101518583015201610791565b505f920191825250919050565b818103818111156107585761075861071856",
}

// CkDeposit is an auto generated Go binding around an Ethereum contract.
type CkDeposit struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *CkDeposit) GetABI() abi.ABI {
	return c.abi
}

// NewCkDeposit creates a new instance of CkDeposit.
func NewCkDeposit() *CkDeposit {
	parsed, err := CkDepositMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &CkDeposit{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *CkDeposit) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackConstructor is the Go binding used to pack the parameters required for
// contract deployment.
//
// Solidity: constructor(address minterAddress) returns()
func (ckDeposit *CkDeposit) PackConstructor(minterAddress common.Address) []byte {
	enc, err := ckDeposit.abi.Pack("", minterAddress)
	if err != nil {
		panic(err)
	}
	return enc
}

// PackDepositErc20 is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdb9751af.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function depositErc20(address erc20Address, uint256 amount, bytes32 principal, bytes32 subaccount) returns()
func (ckDeposit *CkDeposit) PackDepositErc20(erc20Address common.Address, amount *big.Int, principal [32]byte, subaccount [32]byte) []byte {
	enc, err := ckDeposit.abi.Pack("depositErc20", erc20Address, amount, principal, subaccount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDepositErc20 is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdb9751af.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function depositErc20(address erc20Address, uint256 amount, bytes32 principal, bytes32 subaccount) returns()
func (ckDeposit *CkDeposit) TryPackDepositErc20(erc20Address common.Address, amount *big.Int, principal [32]byte, subaccount [32]byte) ([]byte, error) {
	return ckDeposit.abi.Pack("depositErc20", erc20Address, amount, principal, subaccount)
}

// PackDepositEth is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x17c819c4.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function depositEth(bytes32 principal, bytes32 subaccount) payable returns()
func (ckDeposit *CkDeposit) PackDepositEth(principal [32]byte, subaccount [32]byte) []byte {
	enc, err := ckDeposit.abi.Pack("depositEth", principal, subaccount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDepositEth is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x17c819c4.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function depositEth(bytes32 principal, bytes32 subaccount) payable returns()
func (ckDeposit *CkDeposit) TryPackDepositEth(principal [32]byte, subaccount [32]byte) ([]byte, error) {
	return ckDeposit.abi.Pack("depositEth", principal, subaccount)
}

// PackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckDeposit *CkDeposit) PackGetMinterAddress() []byte {
	enc, err := ckDeposit.abi.Pack("getMinterAddress")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckDeposit *CkDeposit) TryPackGetMinterAddress() ([]byte, error) {
	return ckDeposit.abi.Pack("getMinterAddress")
}

// UnpackGetMinterAddress is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x93e5d42a.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckDeposit *CkDeposit) UnpackGetMinterAddress(data []byte) (common.Address, error) {
	out, err := ckDeposit.abi.Unpack("getMinterAddress", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// CkDepositReceivedEthOrErc20 represents a ReceivedEthOrErc20 event raised by the CkDeposit contract.
type CkDepositReceivedEthOrErc20 struct {
	Erc20ContractAddress common.Address
	Owner                common.Address
	Amount               *big.Int
	Principal            [32]byte
	Subaccount           [32]byte
	Raw                  *types.Log // Blockchain specific contextual infos
}

const CkDepositReceivedEthOrErc20EventName = "ReceivedEthOrErc20"

// ContractEventName returns the user-defined event name.
func (CkDepositReceivedEthOrErc20) ContractEventName() string {
	return CkDepositReceivedEthOrErc20EventName
}

// UnpackReceivedEthOrErc20Event is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event ReceivedEthOrErc20(address indexed erc20ContractAddress, address indexed owner, uint256 amount, bytes32 indexed principal, bytes32 subaccount)
func (ckDeposit *CkDeposit) UnpackReceivedEthOrErc20Event(log *types.Log) (*CkDepositReceivedEthOrErc20, error) {
	event := "ReceivedEthOrErc20"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != ckDeposit.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(CkDepositReceivedEthOrErc20)
	if len(log.Data) > 0 {
		if err := ckDeposit.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range ckDeposit.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (ckDeposit *CkDeposit) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["AmountIsZero"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackAmountIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["BadPrincipal"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackBadPrincipalError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["EtherRefused"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackEtherRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["MinterIsZero"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackMinterIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["NotAToken"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackNotATokenError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["Reentered"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackReenteredError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["TokenRefused"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackTokenRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckDeposit.abi.Errors["WrongAmount"].ID.Bytes()[:4]) {
		return ckDeposit.UnpackWrongAmountError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// CkDepositAmountIsZero represents a AmountIsZero error raised by the CkDeposit contract.
type CkDepositAmountIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AmountIsZero()
func CkDepositAmountIsZeroErrorID() common.Hash {
	return common.HexToHash("0x43ad20fc7eb7e1dc5d448da492cda8ddedb6999a995ab16cd476a78e66574057")
}

// UnpackAmountIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AmountIsZero()
func (ckDeposit *CkDeposit) UnpackAmountIsZeroError(raw []byte) (*CkDepositAmountIsZero, error) {
	out := new(CkDepositAmountIsZero)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "AmountIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositBadPrincipal represents a BadPrincipal error raised by the CkDeposit contract.
type CkDepositBadPrincipal struct {
	Principal [32]byte
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error BadPrincipal(bytes32 principal)
func CkDepositBadPrincipalErrorID() common.Hash {
	return common.HexToHash("0x498c79bbe3b247e36df5601d145afe09486254206cecd21f2935a064b40035d9")
}

// UnpackBadPrincipalError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error BadPrincipal(bytes32 principal)
func (ckDeposit *CkDeposit) UnpackBadPrincipalError(raw []byte) (*CkDepositBadPrincipal, error) {
	out := new(CkDepositBadPrincipal)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "BadPrincipal", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositEtherRefused represents a EtherRefused error raised by the CkDeposit contract.
type CkDepositEtherRefused struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EtherRefused()
func CkDepositEtherRefusedErrorID() common.Hash {
	return common.HexToHash("0xf5f2dda50316ae766b2dbe40d0282c8b73a0e6803b03e9a0362c38a22ebc44aa")
}

// UnpackEtherRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EtherRefused()
func (ckDeposit *CkDeposit) UnpackEtherRefusedError(raw []byte) (*CkDepositEtherRefused, error) {
	out := new(CkDepositEtherRefused)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "EtherRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositMinterIsZero represents a MinterIsZero error raised by the CkDeposit contract.
type CkDepositMinterIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error MinterIsZero()
func CkDepositMinterIsZeroErrorID() common.Hash {
	return common.HexToHash("0x0693ecd73fb1ac78551648476a43cbbf4df5ec1d998ef309ccad20289b56b411")
}

// UnpackMinterIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error MinterIsZero()
func (ckDeposit *CkDeposit) UnpackMinterIsZeroError(raw []byte) (*CkDepositMinterIsZero, error) {
	out := new(CkDepositMinterIsZero)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "MinterIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositNotAToken represents a NotAToken error raised by the CkDeposit contract.
type CkDepositNotAToken struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAToken(address token)
func CkDepositNotATokenErrorID() common.Hash {
	return common.HexToHash("0xf0ae59ab2305e450b7994c131d4d487b62eef4fac72f3b690bc790b01afd51f5")
}

// UnpackNotATokenError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAToken(address token)
func (ckDeposit *CkDeposit) UnpackNotATokenError(raw []byte) (*CkDepositNotAToken, error) {
	out := new(CkDepositNotAToken)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "NotAToken", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositReentered represents a Reentered error raised by the CkDeposit contract.
type CkDepositReentered struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error Reentered()
func CkDepositReenteredErrorID() common.Hash {
	return common.HexToHash("0xb5dfd9e53a10d4d747ca3de749b98baf23546e800cbacdb1dbc28233e586d1ee")
}

// UnpackReenteredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error Reentered()
func (ckDeposit *CkDeposit) UnpackReenteredError(raw []byte) (*CkDepositReentered, error) {
	out := new(CkDepositReentered)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "Reentered", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositTokenRefused represents a TokenRefused error raised by the CkDeposit contract.
type CkDepositTokenRefused struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TokenRefused(address token)
func CkDepositTokenRefusedErrorID() common.Hash {
	return common.HexToHash("0x58294a437cc18ae8f0e3511375937bd002cceda482a904000104b90b26aca8e7")
}

// UnpackTokenRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TokenRefused(address token)
func (ckDeposit *CkDeposit) UnpackTokenRefusedError(raw []byte) (*CkDepositTokenRefused, error) {
	out := new(CkDepositTokenRefused)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "TokenRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkDepositWrongAmount represents a WrongAmount error raised by the CkDeposit contract.
type CkDepositWrongAmount struct {
	Token    common.Address
	Sent     *big.Int
	Received *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func CkDepositWrongAmountErrorID() common.Hash {
	return common.HexToHash("0xc78866c3045d4ea04a8465e158bdda5a7af827c84e9cf71435cc2e004e21378d")
}

// UnpackWrongAmountError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func (ckDeposit *CkDeposit) UnpackWrongAmountError(raw []byte) (*CkDepositWrongAmount, error) {
	out := new(CkDepositWrongAmount)
	if err := ckDeposit.abi.UnpackIntoInterface(out, "WrongAmount", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositMetaData contains all meta data concerning the CkErc20Deposit contract.
var CkErc20DepositMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[{\"internalType\":\"address\",\"name\":\"minterAddress\",\"type\":\"address\"}],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[],\"name\":\"AmountIsZero\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"EtherRefused\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"MinterIsZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"NotAToken\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"Reentered\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"TokenRefused\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"sent\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"received\",\"type\":\"uint256\"}],\"name\":\"WrongAmount\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"erc20_contract_address\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"}],\"name\":\"ReceivedErc20\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"erc20_address\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"},{\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"}],\"name\":\"deposit\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"getMinterAddress\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"}]",
	ID:  "fd6963c84718ebefa230c7bac655c45783",
	Bin: "0x60a060405234801561000f575f5ffd5b5060405161064538038061064583398101604081905261002e91610068565b806001600160a01b03811661005657604051630693ecd760e01b815260040160405180910390fd5b6001600160a01b031660805250610095565b5f60208284031215610078575f5ffd5b81516001600160a01b038116811461008e575f5ffd5b9392505050565b6080516105846100c15f395f8181604f015281816101db0152818161026201526103eb01526105845ff3fe608060405234801561000f575f5ffd5b5060043610610034575f3560e01c806326b3293f1461003857806393e5d42a1461004d575b5f5ffd5b61004b6100463660046104c6565b61008a565b005b7f00000000000000000000000000000000000000000000000000000000000000006040516001600160a01b03909116815260200160405180910390f35b5f5460ff16156100c6576040517fb5dfd9e500000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b5f805460ff191660011790556100dc8383610138565b80336001600160a01b0316846001600160a01b03167f4d69d0bd4287b7f66c548f90154dc81bc98f65a1b362775df5ae171a2ccd262b8560405161012291815260200190565b60405180910390a450505f805460ff1916905550565b805f03610171576040517f43ad20fc00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b816001600160a01b03163b5f036101c4576040517ff0ae59ab0000000000000000000000000000000000000000000000000000000081526001600160a01b03831660048201526024015b60405180910390fd5b6040516370a0823160e01b81526001600160a01b037f0000000000000000000000000000000000000000000000000000000000000000811660048301525f91908416906370a0823190602401602060405180830381865afa15801561022b573d5f5f3e3d5ffd5b505050506040513d601f19601f8201168201806040525081019061024f9190610503565b6040513360248201526001600160a01b037f000000000000000000000000000000000000000000000000000000000000000081166044830152606482018590529192505f9182919086169060840160408051601f198184030181529181526020820180517bffffffffffffffffffffffffffffffffffffffffffffffffffffffff167f23b872dd0000000000000000000000000000000000000000000000000000000017905251610300919061051a565b5f604051808303815f865af19150503d805f8114610339576040519150601f19603f3d011682016040523d82523d5f602084013e61033e565b606091505b50915091508161037c5780515f03610374576040516358294a4360e01b81526001600160a01b03861660048201526024016101bb565b805160208201fd5b8051158015906103ab57506020815110806103ab5750808060200190518101906103a69190610503565b600114155b156103d4576040516358294a4360e01b81526001600160a01b03861660048201526024016101bb565b6040516370a0823160e01b81526001600160a01b037f0000000000000000000000000000000000000000000000000000000000000000811660048301525f9185918816906370a0823190602401602060405180830381865afa15801561043c573d5f5f3e3d5ffd5b505050506040513d601f19601f820116820180604052508101906104609190610503565b61046a9190610546565b90508481146104be576040517fc78866c30000000000000000000000000000000000000000000000000000000081526001600160a01b038716600482015260248101869052604481018290526064016101bb565b505050505050565b5f5f5f606084860312156104d8575f5ffd5b83356001600160a01b03811681146104ee575f5ffd5b95602085013595506040909401359392505050565b5f60208284031215610513575f5ffd5b5051919050565b5f82515f5b81811015610539576020818601810151858301520161051f565b505f920191825250919050565b8181038181111561057e577f4e487b71000000000000000000000000000000000000000000000000000000005f52601160045260245ffd5b9291505056",
}

// CkErc20Deposit is an auto generated Go binding around an Ethereum contract.
type CkErc20Deposit struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *CkErc20Deposit) GetABI() abi.ABI {
	return c.abi
}

// NewCkErc20Deposit creates a new instance of CkErc20Deposit.
func NewCkErc20Deposit() *CkErc20Deposit {
	parsed, err := CkErc20DepositMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &CkErc20Deposit{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *CkErc20Deposit) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackConstructor is the Go binding used to pack the parameters required for
// contract deployment.
//
// Solidity: constructor(address minterAddress) returns()
func (ckErc20Deposit *CkErc20Deposit) PackConstructor(minterAddress common.Address) []byte {
	enc, err := ckErc20Deposit.abi.Pack("", minterAddress)
	if err != nil {
		panic(err)
	}
	return enc
}

// PackDeposit is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x26b3293f.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function deposit(address erc20_address, uint256 amount, bytes32 principal) returns()
func (ckErc20Deposit *CkErc20Deposit) PackDeposit(erc20Address common.Address, amount *big.Int, principal [32]byte) []byte {
	enc, err := ckErc20Deposit.abi.Pack("deposit", erc20Address, amount, principal)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDeposit is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x26b3293f.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function deposit(address erc20_address, uint256 amount, bytes32 principal) returns()
func (ckErc20Deposit *CkErc20Deposit) TryPackDeposit(erc20Address common.Address, amount *big.Int, principal [32]byte) ([]byte, error) {
	return ckErc20Deposit.abi.Pack("deposit", erc20Address, amount, principal)
}

// PackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckErc20Deposit *CkErc20Deposit) PackGetMinterAddress() []byte {
	enc, err := ckErc20Deposit.abi.Pack("getMinterAddress")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckErc20Deposit *CkErc20Deposit) TryPackGetMinterAddress() ([]byte, error) {
	return ckErc20Deposit.abi.Pack("getMinterAddress")
}

// UnpackGetMinterAddress is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x93e5d42a.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckErc20Deposit *CkErc20Deposit) UnpackGetMinterAddress(data []byte) (common.Address, error) {
	out, err := ckErc20Deposit.abi.Unpack("getMinterAddress", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// CkErc20DepositReceivedErc20 represents a ReceivedErc20 event raised by the CkErc20Deposit contract.
type CkErc20DepositReceivedErc20 struct {
	Erc20ContractAddress common.Address
	Owner                common.Address
	Amount               *big.Int
	Principal            [32]byte
	Raw                  *types.Log // Blockchain specific contextual infos
}

const CkErc20DepositReceivedErc20EventName = "ReceivedErc20"

// ContractEventName returns the user-defined event name.
func (CkErc20DepositReceivedErc20) ContractEventName() string {
	return CkErc20DepositReceivedErc20EventName
}

// UnpackReceivedErc20Event is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event ReceivedErc20(address indexed erc20_contract_address, address indexed owner, uint256 amount, bytes32 indexed principal)
func (ckErc20Deposit *CkErc20Deposit) UnpackReceivedErc20Event(log *types.Log) (*CkErc20DepositReceivedErc20, error) {
	event := "ReceivedErc20"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != ckErc20Deposit.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(CkErc20DepositReceivedErc20)
	if len(log.Data) > 0 {
		if err := ckErc20Deposit.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range ckErc20Deposit.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (ckErc20Deposit *CkErc20Deposit) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["AmountIsZero"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackAmountIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["EtherRefused"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackEtherRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["MinterIsZero"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackMinterIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["NotAToken"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackNotATokenError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["Reentered"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackReenteredError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["TokenRefused"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackTokenRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckErc20Deposit.abi.Errors["WrongAmount"].ID.Bytes()[:4]) {
		return ckErc20Deposit.UnpackWrongAmountError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// CkErc20DepositAmountIsZero represents a AmountIsZero error raised by the CkErc20Deposit contract.
type CkErc20DepositAmountIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AmountIsZero()
func CkErc20DepositAmountIsZeroErrorID() common.Hash {
	return common.HexToHash("0x43ad20fc7eb7e1dc5d448da492cda8ddedb6999a995ab16cd476a78e66574057")
}

// UnpackAmountIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AmountIsZero()
func (ckErc20Deposit *CkErc20Deposit) UnpackAmountIsZeroError(raw []byte) (*CkErc20DepositAmountIsZero, error) {
	out := new(CkErc20DepositAmountIsZero)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "AmountIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositEtherRefused represents a EtherRefused error raised by the CkErc20Deposit contract.
type CkErc20DepositEtherRefused struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EtherRefused()
func CkErc20DepositEtherRefusedErrorID() common.Hash {
	return common.HexToHash("0xf5f2dda50316ae766b2dbe40d0282c8b73a0e6803b03e9a0362c38a22ebc44aa")
}

// UnpackEtherRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EtherRefused()
func (ckErc20Deposit *CkErc20Deposit) UnpackEtherRefusedError(raw []byte) (*CkErc20DepositEtherRefused, error) {
	out := new(CkErc20DepositEtherRefused)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "EtherRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositMinterIsZero represents a MinterIsZero error raised by the CkErc20Deposit contract.
type CkErc20DepositMinterIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error MinterIsZero()
func CkErc20DepositMinterIsZeroErrorID() common.Hash {
	return common.HexToHash("0x0693ecd73fb1ac78551648476a43cbbf4df5ec1d998ef309ccad20289b56b411")
}

// UnpackMinterIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error MinterIsZero()
func (ckErc20Deposit *CkErc20Deposit) UnpackMinterIsZeroError(raw []byte) (*CkErc20DepositMinterIsZero, error) {
	out := new(CkErc20DepositMinterIsZero)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "MinterIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositNotAToken represents a NotAToken error raised by the CkErc20Deposit contract.
type CkErc20DepositNotAToken struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAToken(address token)
func CkErc20DepositNotATokenErrorID() common.Hash {
	return common.HexToHash("0xf0ae59ab2305e450b7994c131d4d487b62eef4fac72f3b690bc790b01afd51f5")
}

// UnpackNotATokenError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAToken(address token)
func (ckErc20Deposit *CkErc20Deposit) UnpackNotATokenError(raw []byte) (*CkErc20DepositNotAToken, error) {
	out := new(CkErc20DepositNotAToken)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "NotAToken", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositReentered represents a Reentered error raised by the CkErc20Deposit contract.
type CkErc20DepositReentered struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error Reentered()
func CkErc20DepositReenteredErrorID() common.Hash {
	return common.HexToHash("0xb5dfd9e53a10d4d747ca3de749b98baf23546e800cbacdb1dbc28233e586d1ee")
}

// UnpackReenteredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error Reentered()
func (ckErc20Deposit *CkErc20Deposit) UnpackReenteredError(raw []byte) (*CkErc20DepositReentered, error) {
	out := new(CkErc20DepositReentered)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "Reentered", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositTokenRefused represents a TokenRefused error raised by the CkErc20Deposit contract.
type CkErc20DepositTokenRefused struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TokenRefused(address token)
func CkErc20DepositTokenRefusedErrorID() common.Hash {
	return common.HexToHash("0x58294a437cc18ae8f0e3511375937bd002cceda482a904000104b90b26aca8e7")
}

// UnpackTokenRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TokenRefused(address token)
func (ckErc20Deposit *CkErc20Deposit) UnpackTokenRefusedError(raw []byte) (*CkErc20DepositTokenRefused, error) {
	out := new(CkErc20DepositTokenRefused)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "TokenRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkErc20DepositWrongAmount represents a WrongAmount error raised by the CkErc20Deposit contract.
type CkErc20DepositWrongAmount struct {
	Token    common.Address
	Sent     *big.Int
	Received *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func CkErc20DepositWrongAmountErrorID() common.Hash {
	return common.HexToHash("0xc78866c3045d4ea04a8465e158bdda5a7af827c84e9cf71435cc2e004e21378d")
}

// UnpackWrongAmountError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func (ckErc20Deposit *CkErc20Deposit) UnpackWrongAmountError(raw []byte) (*CkErc20DepositWrongAmount, error) {
	out := new(CkErc20DepositWrongAmount)
	if err := ckErc20Deposit.abi.UnpackIntoInterface(out, "WrongAmount", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositMetaData contains all meta data concerning the CkEthDeposit contract.
var CkEthDepositMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[{\"internalType\":\"address\",\"name\":\"minterAddress\",\"type\":\"address\"}],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[],\"name\":\"AmountIsZero\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"EtherRefused\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"MinterIsZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"NotAToken\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"Reentered\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"TokenRefused\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"sent\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"received\",\"type\":\"uint256\"}],\"name\":\"WrongAmount\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"}],\"name\":\"ReceivedEth\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"principal\",\"type\":\"bytes32\"}],\"name\":\"deposit\",\"outputs\":[],\"stateMutability\":\"payable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"getMinterAddress\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"}]",
	ID:  "c776338e3b5b0d34b6bad8c4983033f425",
	Bin: "0x60a0604052348015600e575f5ffd5b506040516102df3803806102df833981016040819052602b916063565b806001600160a01b038116605257604051630693ecd760e01b815260040160405180910390fd5b6001600160a01b031660805250608e565b5f602082840312156072575f5ffd5b81516001600160a01b03811681146087575f5ffd5b9392505050565b6080516102336100ac5f395f8181603a015261016601526102335ff3fe608060405260043610610028575f3560e01c806393e5d42a1461002c578063b214faa514610082575b5f5ffd5b348015610037575f5ffd5b507f000000000000000000000000000000000000000000000000000000000000000060405173ffffffffffffffffffffffffffffffffffffffff909116815260200160405180910390f35b61009561009036600461021c565b610097565b005b5f5460ff16156100d3576040517fb5dfd9e500000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b5f805460ff191660011790556100e761012a565b604051348152819033907f257e057bb61920d8d0ed2cb7b720ac7f9c513cd1110bc9fa543079154f45f4359060200160405180910390a3505f805460ff19169055565b345f03610163576040517f43ad20fc00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b5f7f000000000000000000000000000000000000000000000000000000000000000073ffffffffffffffffffffffffffffffffffffffff16346040515f6040518083038185875af1925050503d805f81146101d9576040519150601f19603f3d011682016040523d82523d5f602084013e6101de565b606091505b5050905080610219576040517ff5f2dda500000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b50565b5f6020828403121561022c575f5ffd5b503591905056",
}

// CkEthDeposit is an auto generated Go binding around an Ethereum contract.
type CkEthDeposit struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *CkEthDeposit) GetABI() abi.ABI {
	return c.abi
}

// NewCkEthDeposit creates a new instance of CkEthDeposit.
func NewCkEthDeposit() *CkEthDeposit {
	parsed, err := CkEthDepositMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &CkEthDeposit{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *CkEthDeposit) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackConstructor is the Go binding used to pack the parameters required for
// contract deployment.
//
// Solidity: constructor(address minterAddress) returns()
func (ckEthDeposit *CkEthDeposit) PackConstructor(minterAddress common.Address) []byte {
	enc, err := ckEthDeposit.abi.Pack("", minterAddress)
	if err != nil {
		panic(err)
	}
	return enc
}

// PackDeposit is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb214faa5.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function deposit(bytes32 principal) payable returns()
func (ckEthDeposit *CkEthDeposit) PackDeposit(principal [32]byte) []byte {
	enc, err := ckEthDeposit.abi.Pack("deposit", principal)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDeposit is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb214faa5.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function deposit(bytes32 principal) payable returns()
func (ckEthDeposit *CkEthDeposit) TryPackDeposit(principal [32]byte) ([]byte, error) {
	return ckEthDeposit.abi.Pack("deposit", principal)
}

// PackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckEthDeposit *CkEthDeposit) PackGetMinterAddress() []byte {
	enc, err := ckEthDeposit.abi.Pack("getMinterAddress")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetMinterAddress is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x93e5d42a.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckEthDeposit *CkEthDeposit) TryPackGetMinterAddress() ([]byte, error) {
	return ckEthDeposit.abi.Pack("getMinterAddress")
}

// UnpackGetMinterAddress is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x93e5d42a.
//
// Solidity: function getMinterAddress() view returns(address)
func (ckEthDeposit *CkEthDeposit) UnpackGetMinterAddress(data []byte) (common.Address, error) {
	out, err := ckEthDeposit.abi.Unpack("getMinterAddress", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// CkEthDepositReceivedEth represents a ReceivedEth event raised by the CkEthDeposit contract.
type CkEthDepositReceivedEth struct {
	From      common.Address
	Value     *big.Int
	Principal [32]byte
	Raw       *types.Log // Blockchain specific contextual infos
}

const CkEthDepositReceivedEthEventName = "ReceivedEth"

// ContractEventName returns the user-defined event name.
func (CkEthDepositReceivedEth) ContractEventName() string {
	return CkEthDepositReceivedEthEventName
}

// UnpackReceivedEthEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event ReceivedEth(address indexed from, uint256 value, bytes32 indexed principal)
func (ckEthDeposit *CkEthDeposit) UnpackReceivedEthEvent(log *types.Log) (*CkEthDepositReceivedEth, error) {
	event := "ReceivedEth"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != ckEthDeposit.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(CkEthDepositReceivedEth)
	if len(log.Data) > 0 {
		if err := ckEthDeposit.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range ckEthDeposit.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (ckEthDeposit *CkEthDeposit) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["AmountIsZero"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackAmountIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["EtherRefused"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackEtherRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["MinterIsZero"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackMinterIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["NotAToken"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackNotATokenError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["Reentered"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackReenteredError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["TokenRefused"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackTokenRefusedError(raw[4:])
	}
	if bytes.Equal(raw[:4], ckEthDeposit.abi.Errors["WrongAmount"].ID.Bytes()[:4]) {
		return ckEthDeposit.UnpackWrongAmountError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// CkEthDepositAmountIsZero represents a AmountIsZero error raised by the CkEthDeposit contract.
type CkEthDepositAmountIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AmountIsZero()
func CkEthDepositAmountIsZeroErrorID() common.Hash {
	return common.HexToHash("0x43ad20fc7eb7e1dc5d448da492cda8ddedb6999a995ab16cd476a78e66574057")
}

// UnpackAmountIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AmountIsZero()
func (ckEthDeposit *CkEthDeposit) UnpackAmountIsZeroError(raw []byte) (*CkEthDepositAmountIsZero, error) {
	out := new(CkEthDepositAmountIsZero)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "AmountIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositEtherRefused represents a EtherRefused error raised by the CkEthDeposit contract.
type CkEthDepositEtherRefused struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EtherRefused()
func CkEthDepositEtherRefusedErrorID() common.Hash {
	return common.HexToHash("0xf5f2dda50316ae766b2dbe40d0282c8b73a0e6803b03e9a0362c38a22ebc44aa")
}

// UnpackEtherRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EtherRefused()
func (ckEthDeposit *CkEthDeposit) UnpackEtherRefusedError(raw []byte) (*CkEthDepositEtherRefused, error) {
	out := new(CkEthDepositEtherRefused)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "EtherRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositMinterIsZero represents a MinterIsZero error raised by the CkEthDeposit contract.
type CkEthDepositMinterIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error MinterIsZero()
func CkEthDepositMinterIsZeroErrorID() common.Hash {
	return common.HexToHash("0x0693ecd73fb1ac78551648476a43cbbf4df5ec1d998ef309ccad20289b56b411")
}

// UnpackMinterIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error MinterIsZero()
func (ckEthDeposit *CkEthDeposit) UnpackMinterIsZeroError(raw []byte) (*CkEthDepositMinterIsZero, error) {
	out := new(CkEthDepositMinterIsZero)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "MinterIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositNotAToken represents a NotAToken error raised by the CkEthDeposit contract.
type CkEthDepositNotAToken struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAToken(address token)
func CkEthDepositNotATokenErrorID() common.Hash {
	return common.HexToHash("0xf0ae59ab2305e450b7994c131d4d487b62eef4fac72f3b690bc790b01afd51f5")
}

// UnpackNotATokenError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAToken(address token)
func (ckEthDeposit *CkEthDeposit) UnpackNotATokenError(raw []byte) (*CkEthDepositNotAToken, error) {
	out := new(CkEthDepositNotAToken)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "NotAToken", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositReentered represents a Reentered error raised by the CkEthDeposit contract.
type CkEthDepositReentered struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error Reentered()
func CkEthDepositReenteredErrorID() common.Hash {
	return common.HexToHash("0xb5dfd9e53a10d4d747ca3de749b98baf23546e800cbacdb1dbc28233e586d1ee")
}

// UnpackReenteredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error Reentered()
func (ckEthDeposit *CkEthDeposit) UnpackReenteredError(raw []byte) (*CkEthDepositReentered, error) {
	out := new(CkEthDepositReentered)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "Reentered", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositTokenRefused represents a TokenRefused error raised by the CkEthDeposit contract.
type CkEthDepositTokenRefused struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TokenRefused(address token)
func CkEthDepositTokenRefusedErrorID() common.Hash {
	return common.HexToHash("0x58294a437cc18ae8f0e3511375937bd002cceda482a904000104b90b26aca8e7")
}

// UnpackTokenRefusedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TokenRefused(address token)
func (ckEthDeposit *CkEthDeposit) UnpackTokenRefusedError(raw []byte) (*CkEthDepositTokenRefused, error) {
	out := new(CkEthDepositTokenRefused)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "TokenRefused", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// CkEthDepositWrongAmount represents a WrongAmount error raised by the CkEthDeposit contract.
type CkEthDepositWrongAmount struct {
	Token    common.Address
	Sent     *big.Int
	Received *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func CkEthDepositWrongAmountErrorID() common.Hash {
	return common.HexToHash("0xc78866c3045d4ea04a8465e158bdda5a7af827c84e9cf71435cc2e004e21378d")
}

// UnpackWrongAmountError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error WrongAmount(address token, uint256 sent, uint256 received)
func (ckEthDeposit *CkEthDeposit) UnpackWrongAmountError(raw []byte) (*CkEthDepositWrongAmount, error) {
	out := new(CkEthDepositWrongAmount)
	if err := ckEthDeposit.abi.UnpackIntoInterface(out, "WrongAmount", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapMetaData contains all meta data concerning the DevSwap contract.
var DevSwapMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[],\"name\":\"BadPath\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"Expired\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"NoLiquidity\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"Reentered\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"SameToken\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"least\",\"type\":\"uint256\"}],\"name\":\"TooLittleOut\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"}],\"name\":\"TransferFailed\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"provider\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountA\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountB\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"shares\",\"type\":\"uint256\"}],\"name\":\"LiquidityAdded\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"provider\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountA\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountB\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"shares\",\"type\":\"uint256\"}],\"name\":\"LiquidityRemoved\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"sender\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenIn\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"tokenOut\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountIn\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"amountOut\",\"type\":\"uint256\"},{\"indexed\":false,\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"}],\"name\":\"Swap\",\"type\":\"event\"},{\"inputs\":[],\"name\":\"WETH\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amountADesired\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountBDesired\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountAMin\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountBMin\",\"type\":\"uint256\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"addLiquidity\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"amountA\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountB\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"liquidity\",\"type\":\"uint256\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"token\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amountTokenDesired\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountTokenMin\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountETHMin\",\"type\":\"uint256\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"addLiquidityETH\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"amountToken\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountETH\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"liquidity\",\"type\":\"uint256\"}],\"stateMutability\":\"payable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amountIn\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"reserveIn\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"reserveOut\",\"type\":\"uint256\"}],\"name\":\"getAmountOut\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"pure\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amountIn\",\"type\":\"uint256\"},{\"internalType\":\"address[]\",\"name\":\"path\",\"type\":\"address[]\"}],\"name\":\"getAmountsOut\",\"outputs\":[{\"internalType\":\"uint256[]\",\"name\":\"amounts\",\"type\":\"uint256[]\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"}],\"name\":\"getReserves\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"reserveA\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"reserveB\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"}],\"name\":\"liquidityOf\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"shares\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"total\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"tokenA\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"tokenB\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"liquidity\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountAMin\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountBMin\",\"type\":\"uint256\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"removeLiquidity\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"amountA\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountB\",\"type\":\"uint256\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amountOutMin\",\"type\":\"uint256\"},{\"internalType\":\"address[]\",\"name\":\"path\",\"type\":\"address[]\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"swapExactETHForTokens\",\"outputs\":[{\"internalType\":\"uint256[]\",\"name\":\"amounts\",\"type\":\"uint256[]\"}],\"stateMutability\":\"payable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amountIn\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountOutMin\",\"type\":\"uint256\"},{\"internalType\":\"address[]\",\"name\":\"path\",\"type\":\"address[]\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"swapExactTokensForETH\",\"outputs\":[{\"internalType\":\"uint256[]\",\"name\":\"amounts\",\"type\":\"uint256[]\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"uint256\",\"name\":\"amountIn\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"amountOutMin\",\"type\":\"uint256\"},{\"internalType\":\"address[]\",\"name\":\"path\",\"type\":\"address[]\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"deadline\",\"type\":\"uint256\"}],\"name\":\"swapExactTokensForTokens\",\"outputs\":[{\"internalType\":\"uint256[]\",\"name\":\"amounts\",\"type\":\"uint256[]\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"}]",
	ID:  "0592d3ef016d52efa1d9a2bab9f1e4b2ef",
	Bin: "0x6080604052348015600e575f5ffd5b506118e48061001c5f395ff3fe6080604052600436106100b8575f3560e01c8063baa2abde11610071578063e8e337001161004c578063e8e33700146101d8578063f305d71914610212578063ff2d312f14610225575f5ffd5b8063baa2abde14610166578063d06ca61f1461019a578063d52bb6f4146101b9575f5ffd5b806338ed1739116100a157806338ed17391461011a5780637ff36ab514610139578063ad5c46481461014c575f5ffd5b8063054d50d4146100bc57806318cbafe5146100ee575b5f5ffd5b3480156100c7575f5ffd5b506100db6100d63660046113d5565b610244565b6040519081526020015b60405180910390f35b3480156100f9575f5ffd5b5061010d61010836600461145a565b6102b1565b6040516100e591906114c7565b348015610125575f5ffd5b5061010d61013436600461145a565b6103cc565b61010d610147366004611509565b6104bc565b348015610157575f5ffd5b506040513081526020016100e5565b348015610171575f5ffd5b5061018561018036600461156a565b61058e565b604080519283526020830191909152016100e5565b3480156101a5575f5ffd5b5061010d6101b43660046115e6565b610639565b3480156101c4575f5ffd5b506101856101d33660046116bd565b610777565b3480156101e3575f5ffd5b506101f76101f23660046116ee565b6107cf565b604080519384526020840192909252908201526060016100e5565b6101f761022036600461175f565b6108cc565b348015610230575f5ffd5b5061018561023f3660046117b5565b610993565b5f821580610250575081155b1561026e57604051636180f03f60e11b815260040160405180910390fd5b5f61027b856103e5611809565b90508061028a856103e8611809565b6102949190611820565b61029e8483611809565b6102a89190611833565b95945050505050565b606081804211156102dd57604051637c06dd7560e11b8152600481018290526024015b60405180910390fd5b60025460ff16156103015760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff1916600117815585108061034757503086865f8161032757610327611852565b905060200201602081019061033c9190611866565b6001600160a01b0316145b8061038b575030868661035b60018261187f565b81811061036a5761036a611852565b905060200201602081019061037f9190611866565b6001600160a01b031614155b156103a9576040516364325c9160e01b815260040160405180910390fd5b6103b688888888886109dd565b6002805460ff1916905598975050505050505050565b606081804211156103f357604051637c06dd7560e11b8152600481018290526024016102d4565b60025460ff16156104175760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff1916600117815585108061045d57503086865f8161043d5761043d611852565b90506020020160208101906104529190611866565b6001600160a01b0316145b8061038b575030868661047160018261187f565b81811061048057610480611852565b90506020020160208101906104959190611866565b6001600160a01b0316036103a9576040516364325c9160e01b815260040160405180910390fd5b606081804211156104e357604051637c06dd7560e11b8152600481018290526024016102d4565b60025460ff16156105075760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff1916600117815585108061054e57503086865f8161052d5761052d611852565b90506020020160208101906105429190611866565b6001600160a01b031614155b1561056c576040516364325c9160e01b815260040160405180910390fd5b61057934888888886109dd565b6002805460ff19169055979650505050505050565b5f5f82804211156105b557604051637c06dd7560e11b8152600481018290526024016102d4565b60025460ff16156105d95760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff191660011790556105f18a8a8a610cf1565b90935091506106008388610e33565b61060a8287610e33565b6106158a8685610e62565b610620898684610e62565b506002805460ff19169055909890975095505050505050565b606060028251101561065e576040516364325c9160e01b815260040160405180910390fd5b815167ffffffffffffffff811115610678576106786115d2565b6040519080825280602002602001820160405280156106a1578160200160208202803683370190505b50905082815f815181106106b7576106b7611852565b602090810291909101015260015b8251811015610770575f80610716856106df60018661187f565b815181106106ef576106ef611852565b602002602001015186858151811061070957610709611852565b6020026020010151610777565b90925090506107498461072a60018661187f565b8151811061073a5761073a611852565b60200260200101518383610244565b84848151811061075b5761075b611852565b602090810291909101015250506001016106c5565b5092915050565b5f5f5f5f5f6107868787610f77565b81526020019081526020015f209050836001600160a01b0316856001600160a01b0316106107ba57600181015481546107c2565b805460018201545b92509250505b9250929050565b5f5f5f83804211156107f757604051637c06dd7560e11b8152600481018290526024016102d4565b60025460ff161561081b5760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff1916600117905561082f3090565b6001600160a01b03168c6001600160a01b0316148061085657506001600160a01b038b1630145b15610874576040516364325c9160e01b815260040160405180910390fd5b6108818c8c8c8c8a611057565b919550935091506108928489610e33565b61089c8388610e33565b6108a68c85611214565b6108b08b84611214565b506002805460ff19169055919a90995090975095505050505050565b5f5f5f83804211156108f457604051637c06dd7560e11b8152600481018290526024016102d4565b60025460ff16156109185760405163b5dfd9e560e01b815260040160405180910390fd5b6002805460ff191660011790556109388a6109303090565b8b348a611057565b919550935091506109498489610e33565b6109538388610e33565b61095d8a85611214565b82341115610979576109793033610974863461187f565b610e62565b506002805460ff1916905591989097509095509350505050565b5f5f5f6109a08686610f77565b5f8181526001602090815260408083206001600160a01b038916845282528083205493835290829052902060020154909350915050935093915050565b60608267ffffffffffffffff8111156109f8576109f86115d2565b604051908082528060200260200182016040528015610a21578160200160208202803683370190505b50905085815f81518110610a3757610a37611852565b602090810291909101015260015b83811015610bec575f808686610a5c60018661187f565b818110610a6b57610a6b611852565b9050602002016020810190610a809190611866565b878785818110610a9257610a92611852565b9050602002016020810190610aa79190611866565b915091505f5f610ab78484610777565b9092509050610acb8661072a60018861187f565b868681518110610add57610add611852565b6020908102919091010152610b46848488610af960018a61187f565b81518110610b0957610b09611852565b602002602001015185610b1c9190611820565b898981518110610b2e57610b2e611852565b602002602001015185610b41919061187f565b611290565b6001600160a01b03808416908516337f54787c404bb33c88e86f4baf88183a3b0141d0a848e6a9f7a13b66ae3a9b73d189610b8260018b61187f565b81518110610b9257610b92611852565b60200260200101518a8a81518110610bac57610bac611852565b60209081029190910181015160408051938452918301526001600160a01b038d169082015260600160405180910390a4505060019092019150610a459050565b505f81610bfa60018661187f565b81518110610c0a57610c0a611852565b60200260200101519050805f03610c3e5760405163e20a4c5d60e01b815260048101829052600160248201526044016102d4565b610c488187610e33565b3085855f81610c5957610c59611852565b9050602002016020810190610c6e9190611866565b6001600160a01b031614610cac57610cac85855f818110610c9157610c91611852565b9050602002016020810190610ca69190611866565b88611214565b610ce78585610cbc60018261187f565b818110610ccb57610ccb611852565b9050602002016020810190610ce09190611866565b8483610e62565b5095945050505050565b5f5f5f610cfe8686610f77565b5f81815260208190526040812060020154919250819003610d3257604051636180f03f60e11b815260040160405180910390fd5b5f5f610d3e8989610777565b909250905082610d4e8884611809565b610d589190611833565b83610d638984611809565b610d6d9190611833565b5f868152600160209081526040808320338452909152812080549399509197508992610d9a90849061187f565b90915550610daa9050878461187f565b5f85815260208190526040902060020155610dd48989610dca898661187f565b610b41898661187f565b60408051878152602081018790529081018890526001600160a01b03808a1691908b169033907fd765e08eef31c0983ecca03ecd166297ac485ecd5dd69e291c848f0a020333c19060600160405180910390a450505050935093915050565b80821015610e5e5760405163e20a4c5d60e01b815260048101839052602481018290526044016102d4565b5050565b6001600160a01b0383163014610ef6576040516001600160a01b038316602482015260448101829052610ef190849060640160408051601f198184030181529190526020810180517bffffffffffffffffffffffffffffffffffffffffffffffffffffffff167fa9059cbb000000000000000000000000000000000000000000000000000000001790526112dc565b505050565b5f826001600160a01b0316826040515f6040518083038185875af1925050503d805f8114610f3f576040519150601f19603f3d011682016040523d82523d5f602084013e610f44565b606091505b5050905080610f71576040516339f1c8d960e01b81526001600160a01b03851660048201526024016102d4565b50505050565b5f816001600160a01b0316836001600160a01b031603610fc3576040517f201b580a00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b816001600160a01b0316836001600160a01b03161061101757604080516001600160a01b0380851660208301528516918101919091526060016040516020818303038152906040528051906020012061104e565b604080516001600160a01b038086166020830152841691810191909152606001604051602081830303815290604052805190602001205b90505b92915050565b5f5f5f5f6110658989610f77565b5f81815260208190526040812060020154919250806110848c8c610777565b91509150825f036110a757898961109b8183611820565b9198509650945061111a565b89826110b38383611809565b6110bd9190611833565b9097509550888611156110e557806110d5838b611809565b6110df9190611833565b96508895505b611117826110f38986611809565b6110fd9190611833565b826111088987611809565b6111129190611833565b6113c0565b94505b861580611125575085155b8061112e575084155b1561114c57604051636180f03f60e11b815260040160405180910390fd5b6111568584611820565b5f8581526020818152604080832060020193909355600181528282206001600160a01b038c16835290529081208054879290611193908490611820565b909155506111b290508c8c6111a88a86611820565b610b418a86611820565b60408051888152602081018890529081018690526001600160a01b03808d1691908e169033907f43c967b388d3a4ccad3f7ab80167852e322e5a3fde9893f530252281b2ae8b709060600160405180910390a450505050955095509592505050565b60405133602482015230604482015260648101829052610e5e90839060840160408051601f198184030181529190526020810180517bffffffffffffffffffffffffffffffffffffffffffffffffffffffff167f23b872dd000000000000000000000000000000000000000000000000000000001790526112dc565b5f5f5f61129d8787610f77565b81526020019081526020015f209050836001600160a01b0316856001600160a01b0316106112cc5781836112cf565b82825b6001830155905550505050565b816001600160a01b03163b5f03611311576040516339f1c8d960e01b81526001600160a01b03831660048201526024016102d4565b5f5f836001600160a01b03168360405161132b9190611892565b5f604051808303815f865af19150503d805f8114611364576040519150601f19603f3d011682016040523d82523d5f602084013e611369565b606091505b5091509150811580611397575080511580159061139757508080602001905181019061139591906118be565b155b15610f71576040516339f1c8d960e01b81526001600160a01b03851660048201526024016102d4565b5f8183106113ce578161104e565b5090919050565b5f5f5f606084860312156113e7575f5ffd5b505081359360208301359350604090920135919050565b5f5f83601f84011261140e575f5ffd5b50813567ffffffffffffffff811115611425575f5ffd5b6020830191508360208260051b85010111156107c8575f5ffd5b80356001600160a01b0381168114611455575f5ffd5b919050565b5f5f5f5f5f5f60a0878903121561146f575f5ffd5b8635955060208701359450604087013567ffffffffffffffff811115611493575f5ffd5b61149f89828a016113fe565b90955093506114b290506060880161143f565b95989497509295919493608090920135925050565b602080825282518282018190525f918401906040840190835b818110156114fe5783518352602093840193909201916001016114e0565b509095945050505050565b5f5f5f5f5f6080868803121561151d575f5ffd5b85359450602086013567ffffffffffffffff81111561153a575f5ffd5b611546888289016113fe565b909550935061155990506040870161143f565b949793965091946060013592915050565b5f5f5f5f5f5f5f60e0888a031215611580575f5ffd5b6115898861143f565b96506115976020890161143f565b95506040880135945060608801359350608088013592506115ba60a0890161143f565b96999598509396929591949193505060c09091013590565b634e487b7160e01b5f52604160045260245ffd5b5f5f604083850312156115f7575f5ffd5b82359150602083013567ffffffffffffffff811115611614575f5ffd5b8301601f81018513611624575f5ffd5b803567ffffffffffffffff81111561163e5761163e6115d2565b8060051b604051601f19603f830116810181811067ffffffffffffffff8211171561166b5761166b6115d2565b604052918252602081840181019290810188841115611688575f5ffd5b6020850194505b838510156116ae576116a08561143f565b81526020948501940161168f565b50809450505050509250929050565b5f5f604083850312156116ce575f5ffd5b6116d78361143f565b91506116e56020840161143f565b90509250929050565b5f5f5f5f5f5f5f5f610100898b031215611706575f5ffd5b61170f8961143f565b975061171d60208a0161143f565b965060408901359550606089013594506080890135935060a0890135925061174760c08a0161143f565b979a969950949793969295919450919260e001359150565b5f5f5f5f5f5f60c08789031215611774575f5ffd5b61177d8761143f565b95506020870135945060408701359350606087013592506117a06080880161143f565b9598949750929591949360a090920135925050565b5f5f5f606084860312156117c7575f5ffd5b6117d08461143f565b92506117de6020850161143f565b91506117ec6040850161143f565b90509250925092565b634e487b7160e01b5f52601160045260245ffd5b8082028115828204841417611051576110516117f5565b80820180821115611051576110516117f5565b5f8261184d57634e487b7160e01b5f52601260045260245ffd5b500490565b634e487b7160e01b5f52603260045260245ffd5b5f60208284031215611876575f5ffd5b61104e8261143f565b81810381811115611051576110516117f5565b5f82515f5b818110156118b15760208186018101518583015201611897565b505f920191825250919050565b5f602082840312156118ce575f5ffd5b815180151581146118dd575f5ffd5b939250505056",
}

// DevSwap is an auto generated Go binding around an Ethereum contract.
type DevSwap struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *DevSwap) GetABI() abi.ABI {
	return c.abi
}

// NewDevSwap creates a new instance of DevSwap.
func NewDevSwap() *DevSwap {
	parsed, err := DevSwapMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &DevSwap{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *DevSwap) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackWETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xad5c4648.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function WETH() view returns(address)
func (devSwap *DevSwap) PackWETH() []byte {
	enc, err := devSwap.abi.Pack("WETH")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackWETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xad5c4648.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function WETH() view returns(address)
func (devSwap *DevSwap) TryPackWETH() ([]byte, error) {
	return devSwap.abi.Pack("WETH")
}

// UnpackWETH is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xad5c4648.
//
// Solidity: function WETH() view returns(address)
func (devSwap *DevSwap) UnpackWETH(data []byte) (common.Address, error) {
	out, err := devSwap.abi.Unpack("WETH", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// PackAddLiquidity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe8e33700.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function addLiquidity(address tokenA, address tokenB, uint256 amountADesired, uint256 amountBDesired, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB, uint256 liquidity)
func (devSwap *DevSwap) PackAddLiquidity(tokenA common.Address, tokenB common.Address, amountADesired *big.Int, amountBDesired *big.Int, amountAMin *big.Int, amountBMin *big.Int, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("addLiquidity", tokenA, tokenB, amountADesired, amountBDesired, amountAMin, amountBMin, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAddLiquidity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe8e33700.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function addLiquidity(address tokenA, address tokenB, uint256 amountADesired, uint256 amountBDesired, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB, uint256 liquidity)
func (devSwap *DevSwap) TryPackAddLiquidity(tokenA common.Address, tokenB common.Address, amountADesired *big.Int, amountBDesired *big.Int, amountAMin *big.Int, amountBMin *big.Int, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("addLiquidity", tokenA, tokenB, amountADesired, amountBDesired, amountAMin, amountBMin, to, deadline)
}

// AddLiquidityOutput serves as a container for the return parameters of contract
// method AddLiquidity.
type AddLiquidityOutput struct {
	AmountA   *big.Int
	AmountB   *big.Int
	Liquidity *big.Int
}

// UnpackAddLiquidity is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xe8e33700.
//
// Solidity: function addLiquidity(address tokenA, address tokenB, uint256 amountADesired, uint256 amountBDesired, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB, uint256 liquidity)
func (devSwap *DevSwap) UnpackAddLiquidity(data []byte) (AddLiquidityOutput, error) {
	out, err := devSwap.abi.Unpack("addLiquidity", data)
	outstruct := new(AddLiquidityOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.AmountA = abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	outstruct.AmountB = abi.ConvertType(out[1], new(big.Int)).(*big.Int)
	outstruct.Liquidity = abi.ConvertType(out[2], new(big.Int)).(*big.Int)
	return *outstruct, nil
}

// PackAddLiquidityETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xf305d719.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function addLiquidityETH(address token, uint256 amountTokenDesired, uint256 amountTokenMin, uint256 amountETHMin, address to, uint256 deadline) payable returns(uint256 amountToken, uint256 amountETH, uint256 liquidity)
func (devSwap *DevSwap) PackAddLiquidityETH(token common.Address, amountTokenDesired *big.Int, amountTokenMin *big.Int, amountETHMin *big.Int, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("addLiquidityETH", token, amountTokenDesired, amountTokenMin, amountETHMin, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAddLiquidityETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xf305d719.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function addLiquidityETH(address token, uint256 amountTokenDesired, uint256 amountTokenMin, uint256 amountETHMin, address to, uint256 deadline) payable returns(uint256 amountToken, uint256 amountETH, uint256 liquidity)
func (devSwap *DevSwap) TryPackAddLiquidityETH(token common.Address, amountTokenDesired *big.Int, amountTokenMin *big.Int, amountETHMin *big.Int, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("addLiquidityETH", token, amountTokenDesired, amountTokenMin, amountETHMin, to, deadline)
}

// AddLiquidityETHOutput serves as a container for the return parameters of contract
// method AddLiquidityETH.
type AddLiquidityETHOutput struct {
	AmountToken *big.Int
	AmountETH   *big.Int
	Liquidity   *big.Int
}

// UnpackAddLiquidityETH is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xf305d719.
//
// Solidity: function addLiquidityETH(address token, uint256 amountTokenDesired, uint256 amountTokenMin, uint256 amountETHMin, address to, uint256 deadline) payable returns(uint256 amountToken, uint256 amountETH, uint256 liquidity)
func (devSwap *DevSwap) UnpackAddLiquidityETH(data []byte) (AddLiquidityETHOutput, error) {
	out, err := devSwap.abi.Unpack("addLiquidityETH", data)
	outstruct := new(AddLiquidityETHOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.AmountToken = abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	outstruct.AmountETH = abi.ConvertType(out[1], new(big.Int)).(*big.Int)
	outstruct.Liquidity = abi.ConvertType(out[2], new(big.Int)).(*big.Int)
	return *outstruct, nil
}

// PackGetAmountOut is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x054d50d4.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) pure returns(uint256)
func (devSwap *DevSwap) PackGetAmountOut(amountIn *big.Int, reserveIn *big.Int, reserveOut *big.Int) []byte {
	enc, err := devSwap.abi.Pack("getAmountOut", amountIn, reserveIn, reserveOut)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetAmountOut is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x054d50d4.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) pure returns(uint256)
func (devSwap *DevSwap) TryPackGetAmountOut(amountIn *big.Int, reserveIn *big.Int, reserveOut *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("getAmountOut", amountIn, reserveIn, reserveOut)
}

// UnpackGetAmountOut is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x054d50d4.
//
// Solidity: function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) pure returns(uint256)
func (devSwap *DevSwap) UnpackGetAmountOut(data []byte) (*big.Int, error) {
	out, err := devSwap.abi.Unpack("getAmountOut", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackGetAmountsOut is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd06ca61f.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getAmountsOut(uint256 amountIn, address[] path) view returns(uint256[] amounts)
func (devSwap *DevSwap) PackGetAmountsOut(amountIn *big.Int, path []common.Address) []byte {
	enc, err := devSwap.abi.Pack("getAmountsOut", amountIn, path)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetAmountsOut is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd06ca61f.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getAmountsOut(uint256 amountIn, address[] path) view returns(uint256[] amounts)
func (devSwap *DevSwap) TryPackGetAmountsOut(amountIn *big.Int, path []common.Address) ([]byte, error) {
	return devSwap.abi.Pack("getAmountsOut", amountIn, path)
}

// UnpackGetAmountsOut is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xd06ca61f.
//
// Solidity: function getAmountsOut(uint256 amountIn, address[] path) view returns(uint256[] amounts)
func (devSwap *DevSwap) UnpackGetAmountsOut(data []byte) ([]*big.Int, error) {
	out, err := devSwap.abi.Unpack("getAmountsOut", data)
	if err != nil {
		return *new([]*big.Int), err
	}
	out0 := *abi.ConvertType(out[0], new([]*big.Int)).(*[]*big.Int)
	return out0, nil
}

// PackGetReserves is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd52bb6f4.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getReserves(address tokenA, address tokenB) view returns(uint256 reserveA, uint256 reserveB)
func (devSwap *DevSwap) PackGetReserves(tokenA common.Address, tokenB common.Address) []byte {
	enc, err := devSwap.abi.Pack("getReserves", tokenA, tokenB)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetReserves is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd52bb6f4.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getReserves(address tokenA, address tokenB) view returns(uint256 reserveA, uint256 reserveB)
func (devSwap *DevSwap) TryPackGetReserves(tokenA common.Address, tokenB common.Address) ([]byte, error) {
	return devSwap.abi.Pack("getReserves", tokenA, tokenB)
}

// GetReservesOutput serves as a container for the return parameters of contract
// method GetReserves.
type GetReservesOutput struct {
	ReserveA *big.Int
	ReserveB *big.Int
}

// UnpackGetReserves is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xd52bb6f4.
//
// Solidity: function getReserves(address tokenA, address tokenB) view returns(uint256 reserveA, uint256 reserveB)
func (devSwap *DevSwap) UnpackGetReserves(data []byte) (GetReservesOutput, error) {
	out, err := devSwap.abi.Unpack("getReserves", data)
	outstruct := new(GetReservesOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.ReserveA = abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	outstruct.ReserveB = abi.ConvertType(out[1], new(big.Int)).(*big.Int)
	return *outstruct, nil
}

// PackLiquidityOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xff2d312f.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function liquidityOf(address tokenA, address tokenB, address owner) view returns(uint256 shares, uint256 total)
func (devSwap *DevSwap) PackLiquidityOf(tokenA common.Address, tokenB common.Address, owner common.Address) []byte {
	enc, err := devSwap.abi.Pack("liquidityOf", tokenA, tokenB, owner)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackLiquidityOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xff2d312f.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function liquidityOf(address tokenA, address tokenB, address owner) view returns(uint256 shares, uint256 total)
func (devSwap *DevSwap) TryPackLiquidityOf(tokenA common.Address, tokenB common.Address, owner common.Address) ([]byte, error) {
	return devSwap.abi.Pack("liquidityOf", tokenA, tokenB, owner)
}

// LiquidityOfOutput serves as a container for the return parameters of contract
// method LiquidityOf.
type LiquidityOfOutput struct {
	Shares *big.Int
	Total  *big.Int
}

// UnpackLiquidityOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xff2d312f.
//
// Solidity: function liquidityOf(address tokenA, address tokenB, address owner) view returns(uint256 shares, uint256 total)
func (devSwap *DevSwap) UnpackLiquidityOf(data []byte) (LiquidityOfOutput, error) {
	out, err := devSwap.abi.Unpack("liquidityOf", data)
	outstruct := new(LiquidityOfOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.Shares = abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	outstruct.Total = abi.ConvertType(out[1], new(big.Int)).(*big.Int)
	return *outstruct, nil
}

// PackRemoveLiquidity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xbaa2abde.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function removeLiquidity(address tokenA, address tokenB, uint256 liquidity, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB)
func (devSwap *DevSwap) PackRemoveLiquidity(tokenA common.Address, tokenB common.Address, liquidity *big.Int, amountAMin *big.Int, amountBMin *big.Int, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("removeLiquidity", tokenA, tokenB, liquidity, amountAMin, amountBMin, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRemoveLiquidity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xbaa2abde.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function removeLiquidity(address tokenA, address tokenB, uint256 liquidity, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB)
func (devSwap *DevSwap) TryPackRemoveLiquidity(tokenA common.Address, tokenB common.Address, liquidity *big.Int, amountAMin *big.Int, amountBMin *big.Int, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("removeLiquidity", tokenA, tokenB, liquidity, amountAMin, amountBMin, to, deadline)
}

// RemoveLiquidityOutput serves as a container for the return parameters of contract
// method RemoveLiquidity.
type RemoveLiquidityOutput struct {
	AmountA *big.Int
	AmountB *big.Int
}

// UnpackRemoveLiquidity is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xbaa2abde.
//
// Solidity: function removeLiquidity(address tokenA, address tokenB, uint256 liquidity, uint256 amountAMin, uint256 amountBMin, address to, uint256 deadline) returns(uint256 amountA, uint256 amountB)
func (devSwap *DevSwap) UnpackRemoveLiquidity(data []byte) (RemoveLiquidityOutput, error) {
	out, err := devSwap.abi.Unpack("removeLiquidity", data)
	outstruct := new(RemoveLiquidityOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.AmountA = abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	outstruct.AmountB = abi.ConvertType(out[1], new(big.Int)).(*big.Int)
	return *outstruct, nil
}

// PackSwapExactETHForTokens is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7ff36ab5.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function swapExactETHForTokens(uint256 amountOutMin, address[] path, address to, uint256 deadline) payable returns(uint256[] amounts)
func (devSwap *DevSwap) PackSwapExactETHForTokens(amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("swapExactETHForTokens", amountOutMin, path, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSwapExactETHForTokens is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7ff36ab5.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function swapExactETHForTokens(uint256 amountOutMin, address[] path, address to, uint256 deadline) payable returns(uint256[] amounts)
func (devSwap *DevSwap) TryPackSwapExactETHForTokens(amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("swapExactETHForTokens", amountOutMin, path, to, deadline)
}

// UnpackSwapExactETHForTokens is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x7ff36ab5.
//
// Solidity: function swapExactETHForTokens(uint256 amountOutMin, address[] path, address to, uint256 deadline) payable returns(uint256[] amounts)
func (devSwap *DevSwap) UnpackSwapExactETHForTokens(data []byte) ([]*big.Int, error) {
	out, err := devSwap.abi.Unpack("swapExactETHForTokens", data)
	if err != nil {
		return *new([]*big.Int), err
	}
	out0 := *abi.ConvertType(out[0], new([]*big.Int)).(*[]*big.Int)
	return out0, nil
}

// PackSwapExactTokensForETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18cbafe5.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function swapExactTokensForETH(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) PackSwapExactTokensForETH(amountIn *big.Int, amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("swapExactTokensForETH", amountIn, amountOutMin, path, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSwapExactTokensForETH is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18cbafe5.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function swapExactTokensForETH(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) TryPackSwapExactTokensForETH(amountIn *big.Int, amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("swapExactTokensForETH", amountIn, amountOutMin, path, to, deadline)
}

// UnpackSwapExactTokensForETH is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x18cbafe5.
//
// Solidity: function swapExactTokensForETH(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) UnpackSwapExactTokensForETH(data []byte) ([]*big.Int, error) {
	out, err := devSwap.abi.Unpack("swapExactTokensForETH", data)
	if err != nil {
		return *new([]*big.Int), err
	}
	out0 := *abi.ConvertType(out[0], new([]*big.Int)).(*[]*big.Int)
	return out0, nil
}

// PackSwapExactTokensForTokens is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x38ed1739.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) PackSwapExactTokensForTokens(amountIn *big.Int, amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) []byte {
	enc, err := devSwap.abi.Pack("swapExactTokensForTokens", amountIn, amountOutMin, path, to, deadline)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSwapExactTokensForTokens is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x38ed1739.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) TryPackSwapExactTokensForTokens(amountIn *big.Int, amountOutMin *big.Int, path []common.Address, to common.Address, deadline *big.Int) ([]byte, error) {
	return devSwap.abi.Pack("swapExactTokensForTokens", amountIn, amountOutMin, path, to, deadline)
}

// UnpackSwapExactTokensForTokens is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x38ed1739.
//
// Solidity: function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns(uint256[] amounts)
func (devSwap *DevSwap) UnpackSwapExactTokensForTokens(data []byte) ([]*big.Int, error) {
	out, err := devSwap.abi.Unpack("swapExactTokensForTokens", data)
	if err != nil {
		return *new([]*big.Int), err
	}
	out0 := *abi.ConvertType(out[0], new([]*big.Int)).(*[]*big.Int)
	return out0, nil
}

// DevSwapLiquidityAdded represents a LiquidityAdded event raised by the DevSwap contract.
type DevSwapLiquidityAdded struct {
	Provider common.Address
	TokenA   common.Address
	TokenB   common.Address
	AmountA  *big.Int
	AmountB  *big.Int
	Shares   *big.Int
	Raw      *types.Log // Blockchain specific contextual infos
}

const DevSwapLiquidityAddedEventName = "LiquidityAdded"

// ContractEventName returns the user-defined event name.
func (DevSwapLiquidityAdded) ContractEventName() string {
	return DevSwapLiquidityAddedEventName
}

// UnpackLiquidityAddedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event LiquidityAdded(address indexed provider, address indexed tokenA, address indexed tokenB, uint256 amountA, uint256 amountB, uint256 shares)
func (devSwap *DevSwap) UnpackLiquidityAddedEvent(log *types.Log) (*DevSwapLiquidityAdded, error) {
	event := "LiquidityAdded"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != devSwap.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(DevSwapLiquidityAdded)
	if len(log.Data) > 0 {
		if err := devSwap.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range devSwap.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// DevSwapLiquidityRemoved represents a LiquidityRemoved event raised by the DevSwap contract.
type DevSwapLiquidityRemoved struct {
	Provider common.Address
	TokenA   common.Address
	TokenB   common.Address
	AmountA  *big.Int
	AmountB  *big.Int
	Shares   *big.Int
	Raw      *types.Log // Blockchain specific contextual infos
}

const DevSwapLiquidityRemovedEventName = "LiquidityRemoved"

// ContractEventName returns the user-defined event name.
func (DevSwapLiquidityRemoved) ContractEventName() string {
	return DevSwapLiquidityRemovedEventName
}

// UnpackLiquidityRemovedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event LiquidityRemoved(address indexed provider, address indexed tokenA, address indexed tokenB, uint256 amountA, uint256 amountB, uint256 shares)
func (devSwap *DevSwap) UnpackLiquidityRemovedEvent(log *types.Log) (*DevSwapLiquidityRemoved, error) {
	event := "LiquidityRemoved"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != devSwap.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(DevSwapLiquidityRemoved)
	if len(log.Data) > 0 {
		if err := devSwap.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range devSwap.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// DevSwapSwap represents a Swap event raised by the DevSwap contract.
type DevSwapSwap struct {
	Sender    common.Address
	TokenIn   common.Address
	TokenOut  common.Address
	AmountIn  *big.Int
	AmountOut *big.Int
	To        common.Address
	Raw       *types.Log // Blockchain specific contextual infos
}

const DevSwapSwapEventName = "Swap"

// ContractEventName returns the user-defined event name.
func (DevSwapSwap) ContractEventName() string {
	return DevSwapSwapEventName
}

// UnpackSwapEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Swap(address indexed sender, address indexed tokenIn, address indexed tokenOut, uint256 amountIn, uint256 amountOut, address to)
func (devSwap *DevSwap) UnpackSwapEvent(log *types.Log) (*DevSwapSwap, error) {
	event := "Swap"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != devSwap.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(DevSwapSwap)
	if len(log.Data) > 0 {
		if err := devSwap.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range devSwap.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (devSwap *DevSwap) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], devSwap.abi.Errors["BadPath"].ID.Bytes()[:4]) {
		return devSwap.UnpackBadPathError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["Expired"].ID.Bytes()[:4]) {
		return devSwap.UnpackExpiredError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["NoLiquidity"].ID.Bytes()[:4]) {
		return devSwap.UnpackNoLiquidityError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["Reentered"].ID.Bytes()[:4]) {
		return devSwap.UnpackReenteredError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["SameToken"].ID.Bytes()[:4]) {
		return devSwap.UnpackSameTokenError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["TooLittleOut"].ID.Bytes()[:4]) {
		return devSwap.UnpackTooLittleOutError(raw[4:])
	}
	if bytes.Equal(raw[:4], devSwap.abi.Errors["TransferFailed"].ID.Bytes()[:4]) {
		return devSwap.UnpackTransferFailedError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// DevSwapBadPath represents a BadPath error raised by the DevSwap contract.
type DevSwapBadPath struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error BadPath()
func DevSwapBadPathErrorID() common.Hash {
	return common.HexToHash("0x64325c91f108520b461bf37f7e682ef85952d4d50489069c2e798b1861f04e29")
}

// UnpackBadPathError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error BadPath()
func (devSwap *DevSwap) UnpackBadPathError(raw []byte) (*DevSwapBadPath, error) {
	out := new(DevSwapBadPath)
	if err := devSwap.abi.UnpackIntoInterface(out, "BadPath", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapExpired represents a Expired error raised by the DevSwap contract.
type DevSwapExpired struct {
	Deadline *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error Expired(uint256 deadline)
func DevSwapExpiredErrorID() common.Hash {
	return common.HexToHash("0xf80dbaea4785589e52984ca36a31de106adc77759539a5c7d92883bf49692fe9")
}

// UnpackExpiredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error Expired(uint256 deadline)
func (devSwap *DevSwap) UnpackExpiredError(raw []byte) (*DevSwapExpired, error) {
	out := new(DevSwapExpired)
	if err := devSwap.abi.UnpackIntoInterface(out, "Expired", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapNoLiquidity represents a NoLiquidity error raised by the DevSwap contract.
type DevSwapNoLiquidity struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NoLiquidity()
func DevSwapNoLiquidityErrorID() common.Hash {
	return common.HexToHash("0xc301e07e589331ed9ef4311e1023346089c1adb5b41d2e0cc07797c561b59d37")
}

// UnpackNoLiquidityError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NoLiquidity()
func (devSwap *DevSwap) UnpackNoLiquidityError(raw []byte) (*DevSwapNoLiquidity, error) {
	out := new(DevSwapNoLiquidity)
	if err := devSwap.abi.UnpackIntoInterface(out, "NoLiquidity", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapReentered represents a Reentered error raised by the DevSwap contract.
type DevSwapReentered struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error Reentered()
func DevSwapReenteredErrorID() common.Hash {
	return common.HexToHash("0xb5dfd9e53a10d4d747ca3de749b98baf23546e800cbacdb1dbc28233e586d1ee")
}

// UnpackReenteredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error Reentered()
func (devSwap *DevSwap) UnpackReenteredError(raw []byte) (*DevSwapReentered, error) {
	out := new(DevSwapReentered)
	if err := devSwap.abi.UnpackIntoInterface(out, "Reentered", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapSameToken represents a SameToken error raised by the DevSwap contract.
type DevSwapSameToken struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error SameToken()
func DevSwapSameTokenErrorID() common.Hash {
	return common.HexToHash("0x201b580a822b46f47433ab241b0489c2311db5148e49f18d2ac4d72b0f6bb951")
}

// UnpackSameTokenError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error SameToken()
func (devSwap *DevSwap) UnpackSameTokenError(raw []byte) (*DevSwapSameToken, error) {
	out := new(DevSwapSameToken)
	if err := devSwap.abi.UnpackIntoInterface(out, "SameToken", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapTooLittleOut represents a TooLittleOut error raised by the DevSwap contract.
type DevSwapTooLittleOut struct {
	Amount *big.Int
	Least  *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TooLittleOut(uint256 amount, uint256 least)
func DevSwapTooLittleOutErrorID() common.Hash {
	return common.HexToHash("0xe20a4c5d269f65f30edcec7bdc95258d451a08253edef483701b5343ac916ab7")
}

// UnpackTooLittleOutError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TooLittleOut(uint256 amount, uint256 least)
func (devSwap *DevSwap) UnpackTooLittleOutError(raw []byte) (*DevSwapTooLittleOut, error) {
	out := new(DevSwapTooLittleOut)
	if err := devSwap.abi.UnpackIntoInterface(out, "TooLittleOut", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevSwapTransferFailed represents a TransferFailed error raised by the DevSwap contract.
type DevSwapTransferFailed struct {
	Token common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TransferFailed(address token)
func DevSwapTransferFailedErrorID() common.Hash {
	return common.HexToHash("0x39f1c8d9a08940175dbc82f15840b953aa855264e371e68f3e5d5cb38c445fa0")
}

// UnpackTransferFailedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TransferFailed(address token)
func (devSwap *DevSwap) UnpackTransferFailedError(raw []byte) (*DevSwapTransferFailed, error) {
	out := new(DevSwapTransferFailed)
	if err := devSwap.abi.UnpackIntoInterface(out, "TransferFailed", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevTokenMetaData contains all meta data concerning the DevToken contract.
var DevTokenMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[{\"internalType\":\"string\",\"name\":\"name_\",\"type\":\"string\"},{\"internalType\":\"string\",\"name\":\"symbol_\",\"type\":\"string\"},{\"internalType\":\"uint8\",\"name\":\"decimals_\",\"type\":\"uint8\"}],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"NotAllowed\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"NotTheDeployer\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"ToZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"TooLittle\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Approval\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Transfer\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"allowance\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"approve\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"balanceOf\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"decimals\",\"outputs\":[{\"internalType\":\"uint8\",\"name\":\"\",\"type\":\"uint8\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"deployer\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"mint\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"name\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"symbol\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"totalSupply\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transfer\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transferFrom\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"}]",
	ID:  "d359988e3b49359928954e8fdb2063ef8d",
	Bin: "0x60c060405234801561000f575f5ffd5b50604051610ae4380380610ae483398101604081905261002e91610124565b3360a081905260ff82166080528390839083908390839083905f8060016100558682610230565b5061006290508582610230565b50505050505050505050506102ee565b634e487b7160e01b5f52604160045260245ffd5b5f82601f830112610095575f5ffd5b81516001600160401b038111156100ae576100ae610072565b604051601f8201601f19908116603f011681016001600160401b03811182821017156100dc576100dc610072565b6040528181528382016020018510156100f3575f5ffd5b5f5b82811015610111576020818601810151838301820152016100f5565b505f918101602001919091529392505050565b5f5f5f60608486031215610136575f5ffd5b83516001600160401b0381111561014b575f5ffd5b61015786828701610086565b602086015190945090506001600160401b03811115610174575f5ffd5b61018086828701610086565b925050604084015160ff81168114610196575f5ffd5b809150509250925092565b600181811c908216806101b557607f821691505b6020821081036101d357634e487b7160e01b5f52602260045260245ffd5b50919050565b601f82111561022b578282111561022b57805f5260205f20601f840160051c602085101561020457505f5b90810190601f840160051c035f5b81811015610227575f83820155600101610212565b5050505b505050565b81516001600160401b0381111561024957610249610072565b61025d8161025784546101a1565b846101d9565b6020601f82116001811461028f575f83156102785750848201515b5f19600385901b1c1916600184901b1784556102e7565b5f84815260208120601f198516915b828110156102be578785015182556020948501946001909201910161029e565b50848210156102db57868401515f19600387901b60f8161c191681555b505060018360011b0184555b5050505050565b60805160a0516107ce6103165f395f81816101c001526102ef01525f61013801526107ce5ff3fe608060405234801561000f575f5ffd5b50600436106100c4575f3560e01c806340c10f191161007d578063a9059cbb11610058578063a9059cbb146101a8578063d5f39488146101bb578063dd62ed3e146101fa575f5ffd5b806340c10f191461016c57806370a082311461018157806395d89b41146101a0575f5ffd5b806318160ddd116100ad57806318160ddd1461010957806323b872dd14610120578063313ce56714610133575f5ffd5b806306fdde03146100c8578063095ea7b3146100e6575b5f5ffd5b6100d0610224565b6040516100dd9190610643565b60405180910390f35b6100f96100f43660046106a9565b6102af565b60405190151581526020016100dd565b61011260025481565b6040519081526020016100dd565b6100f961012e3660046106d1565b6102c4565b61015a7f000000000000000000000000000000000000000000000000000000000000000081565b60405160ff90911681526020016100dd565b61017f61017a3660046106a9565b6102e4565b005b61011261018f36600461070b565b60036020525f908152604090205481565b6100d06103f4565b6100f96101b63660046106a9565b610401565b6101e27f000000000000000000000000000000000000000000000000000000000000000081565b6040516001600160a01b0390911681526020016100dd565b61011261020836600461072b565b600460209081525f928352604080842090915290825290205481565b5f80546102309061075c565b80601f016020809104026020016040519081016040528092919081815260200182805461025c9061075c565b80156102a75780601f1061027e576101008083540402835291602001916102a7565b820191905f5260205f20905b81548152906001019060200180831161028a57829003601f168201915b505050505081565b5f6102ba838361040d565b5060015b92915050565b5f6102cf8483610464565b6102da848484610518565b5060019392505050565b336001600160a01b037f00000000000000000000000000000000000000000000000000000000000000001614610346576040517fdf4e2f6200000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b6001600160a01b03821661036d57604051631a0b2a3d60e31b815260040160405180910390fd5b8060025f82825461037e91906107a8565b90915550506001600160a01b0382165f90815260036020526040812080548392906103aa9084906107a8565b90915550506040518181526001600160a01b038316905f907fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef906020015b60405180910390a35050565b600180546102309061075c565b5f6102ba338484610518565b335f8181526004602090815260408083206001600160a01b03871680855290835292819020859055518481529192917f8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b92591016103e8565b6001600160a01b0382165f9081526004602090815260408083203384529091529020546001810161049457505050565b818110156104e3576040517fe5c728fe00000000000000000000000000000000000000000000000000000000815233600482015260248101829052604481018390526064015b60405180910390fd5b6104ed82826107bb565b6001600160a01b039093165f9081526004602090815260408083203384529091529020929092555050565b6001600160a01b03821661053f57604051631a0b2a3d60e31b815260040160405180910390fd5b6001600160a01b0383165f90815260036020526040902054818110156105aa576040517fe4889ffe0000000000000000000000000000000000000000000000000000000081526001600160a01b038516600482015260248101829052604481018390526064016104da565b6105b482826107bb565b6001600160a01b038086165f9081526003602052604080822093909355908516815290812080548492906105e99084906107a8565b92505081905550826001600160a01b0316846001600160a01b03167fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef8460405161063591815260200190565b60405180910390a350505050565b602081525f82518060208401525f5b8181101561066f5760208186018101516040868401015201610652565b505f604082850101526040601f19601f83011684010191505092915050565b80356001600160a01b03811681146106a4575f5ffd5b919050565b5f5f604083850312156106ba575f5ffd5b6106c38361068e565b946020939093013593505050565b5f5f5f606084860312156106e3575f5ffd5b6106ec8461068e565b92506106fa6020850161068e565b929592945050506040919091013590565b5f6020828403121561071b575f5ffd5b6107248261068e565b9392505050565b5f5f6040838503121561073c575f5ffd5b6107458361068e565b91506107536020840161068e565b90509250929050565b600181811c9082168061077057607f821691505b60208210810361078e57634e487b7160e01b5f52602260045260245ffd5b50919050565b634e487b7160e01b5f52601160045260245ffd5b808201808211156102be576102be610794565b818103818111156102be576102be61079456",
}

// DevToken is an auto generated Go binding around an Ethereum contract.
type DevToken struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *DevToken) GetABI() abi.ABI {
	return c.abi
}

// NewDevToken creates a new instance of DevToken.
func NewDevToken() *DevToken {
	parsed, err := DevTokenMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &DevToken{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *DevToken) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackConstructor is the Go binding used to pack the parameters required for
// contract deployment.
//
// Solidity: constructor(string name_, string symbol_, uint8 decimals_) returns()
func (devToken *DevToken) PackConstructor(name_ string, symbol_ string, decimals_ uint8) []byte {
	enc, err := devToken.abi.Pack("", name_, symbol_, decimals_)
	if err != nil {
		panic(err)
	}
	return enc
}

// PackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (devToken *DevToken) PackAllowance(arg0 common.Address, arg1 common.Address) []byte {
	enc, err := devToken.abi.Pack("allowance", arg0, arg1)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (devToken *DevToken) TryPackAllowance(arg0 common.Address, arg1 common.Address) ([]byte, error) {
	return devToken.abi.Pack("allowance", arg0, arg1)
}

// UnpackAllowance is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xdd62ed3e.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (devToken *DevToken) UnpackAllowance(data []byte) (*big.Int, error) {
	out, err := devToken.abi.Unpack("allowance", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (devToken *DevToken) PackApprove(spender common.Address, amount *big.Int) []byte {
	enc, err := devToken.abi.Pack("approve", spender, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (devToken *DevToken) TryPackApprove(spender common.Address, amount *big.Int) ([]byte, error) {
	return devToken.abi.Pack("approve", spender, amount)
}

// UnpackApprove is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x095ea7b3.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (devToken *DevToken) UnpackApprove(data []byte) (bool, error) {
	out, err := devToken.abi.Unpack("approve", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (devToken *DevToken) PackBalanceOf(arg0 common.Address) []byte {
	enc, err := devToken.abi.Pack("balanceOf", arg0)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (devToken *DevToken) TryPackBalanceOf(arg0 common.Address) ([]byte, error) {
	return devToken.abi.Pack("balanceOf", arg0)
}

// UnpackBalanceOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x70a08231.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (devToken *DevToken) UnpackBalanceOf(data []byte) (*big.Int, error) {
	out, err := devToken.abi.Unpack("balanceOf", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function decimals() view returns(uint8)
func (devToken *DevToken) PackDecimals() []byte {
	enc, err := devToken.abi.Pack("decimals")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function decimals() view returns(uint8)
func (devToken *DevToken) TryPackDecimals() ([]byte, error) {
	return devToken.abi.Pack("decimals")
}

// UnpackDecimals is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x313ce567.
//
// Solidity: function decimals() view returns(uint8)
func (devToken *DevToken) UnpackDecimals(data []byte) (uint8, error) {
	out, err := devToken.abi.Unpack("decimals", data)
	if err != nil {
		return *new(uint8), err
	}
	out0 := *abi.ConvertType(out[0], new(uint8)).(*uint8)
	return out0, nil
}

// PackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function deployer() view returns(address)
func (devToken *DevToken) PackDeployer() []byte {
	enc, err := devToken.abi.Pack("deployer")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function deployer() view returns(address)
func (devToken *DevToken) TryPackDeployer() ([]byte, error) {
	return devToken.abi.Pack("deployer")
}

// UnpackDeployer is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xd5f39488.
//
// Solidity: function deployer() view returns(address)
func (devToken *DevToken) UnpackDeployer(data []byte) (common.Address, error) {
	out, err := devToken.abi.Unpack("deployer", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// PackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (devToken *DevToken) PackMint(to common.Address, amount *big.Int) []byte {
	enc, err := devToken.abi.Pack("mint", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (devToken *DevToken) TryPackMint(to common.Address, amount *big.Int) ([]byte, error) {
	return devToken.abi.Pack("mint", to, amount)
}

// PackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function name() view returns(string)
func (devToken *DevToken) PackName() []byte {
	enc, err := devToken.abi.Pack("name")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function name() view returns(string)
func (devToken *DevToken) TryPackName() ([]byte, error) {
	return devToken.abi.Pack("name")
}

// UnpackName is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x06fdde03.
//
// Solidity: function name() view returns(string)
func (devToken *DevToken) UnpackName(data []byte) (string, error) {
	out, err := devToken.abi.Unpack("name", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function symbol() view returns(string)
func (devToken *DevToken) PackSymbol() []byte {
	enc, err := devToken.abi.Pack("symbol")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function symbol() view returns(string)
func (devToken *DevToken) TryPackSymbol() ([]byte, error) {
	return devToken.abi.Pack("symbol")
}

// UnpackSymbol is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x95d89b41.
//
// Solidity: function symbol() view returns(string)
func (devToken *DevToken) UnpackSymbol(data []byte) (string, error) {
	out, err := devToken.abi.Unpack("symbol", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function totalSupply() view returns(uint256)
func (devToken *DevToken) PackTotalSupply() []byte {
	enc, err := devToken.abi.Pack("totalSupply")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function totalSupply() view returns(uint256)
func (devToken *DevToken) TryPackTotalSupply() ([]byte, error) {
	return devToken.abi.Pack("totalSupply")
}

// UnpackTotalSupply is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x18160ddd.
//
// Solidity: function totalSupply() view returns(uint256)
func (devToken *DevToken) UnpackTotalSupply(data []byte) (*big.Int, error) {
	out, err := devToken.abi.Unpack("totalSupply", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (devToken *DevToken) PackTransfer(to common.Address, amount *big.Int) []byte {
	enc, err := devToken.abi.Pack("transfer", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (devToken *DevToken) TryPackTransfer(to common.Address, amount *big.Int) ([]byte, error) {
	return devToken.abi.Pack("transfer", to, amount)
}

// UnpackTransfer is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xa9059cbb.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (devToken *DevToken) UnpackTransfer(data []byte) (bool, error) {
	out, err := devToken.abi.Unpack("transfer", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (devToken *DevToken) PackTransferFrom(from common.Address, to common.Address, amount *big.Int) []byte {
	enc, err := devToken.abi.Pack("transferFrom", from, to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (devToken *DevToken) TryPackTransferFrom(from common.Address, to common.Address, amount *big.Int) ([]byte, error) {
	return devToken.abi.Pack("transferFrom", from, to, amount)
}

// UnpackTransferFrom is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x23b872dd.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (devToken *DevToken) UnpackTransferFrom(data []byte) (bool, error) {
	out, err := devToken.abi.Unpack("transferFrom", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// DevTokenApproval represents a Approval event raised by the DevToken contract.
type DevTokenApproval struct {
	Owner   common.Address
	Spender common.Address
	Value   *big.Int
	Raw     *types.Log // Blockchain specific contextual infos
}

const DevTokenApprovalEventName = "Approval"

// ContractEventName returns the user-defined event name.
func (DevTokenApproval) ContractEventName() string {
	return DevTokenApprovalEventName
}

// UnpackApprovalEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Approval(address indexed owner, address indexed spender, uint256 value)
func (devToken *DevToken) UnpackApprovalEvent(log *types.Log) (*DevTokenApproval, error) {
	event := "Approval"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != devToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(DevTokenApproval)
	if len(log.Data) > 0 {
		if err := devToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range devToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// DevTokenTransfer represents a Transfer event raised by the DevToken contract.
type DevTokenTransfer struct {
	From  common.Address
	To    common.Address
	Value *big.Int
	Raw   *types.Log // Blockchain specific contextual infos
}

const DevTokenTransferEventName = "Transfer"

// ContractEventName returns the user-defined event name.
func (DevTokenTransfer) ContractEventName() string {
	return DevTokenTransferEventName
}

// UnpackTransferEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Transfer(address indexed from, address indexed to, uint256 value)
func (devToken *DevToken) UnpackTransferEvent(log *types.Log) (*DevTokenTransfer, error) {
	event := "Transfer"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != devToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(DevTokenTransfer)
	if len(log.Data) > 0 {
		if err := devToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range devToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (devToken *DevToken) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], devToken.abi.Errors["NotAllowed"].ID.Bytes()[:4]) {
		return devToken.UnpackNotAllowedError(raw[4:])
	}
	if bytes.Equal(raw[:4], devToken.abi.Errors["NotTheDeployer"].ID.Bytes()[:4]) {
		return devToken.UnpackNotTheDeployerError(raw[4:])
	}
	if bytes.Equal(raw[:4], devToken.abi.Errors["ToZero"].ID.Bytes()[:4]) {
		return devToken.UnpackToZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], devToken.abi.Errors["TooLittle"].ID.Bytes()[:4]) {
		return devToken.UnpackTooLittleError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// DevTokenNotAllowed represents a NotAllowed error raised by the DevToken contract.
type DevTokenNotAllowed struct {
	Spender common.Address
	Has     *big.Int
	Needs   *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func DevTokenNotAllowedErrorID() common.Hash {
	return common.HexToHash("0xe5c728fe882b7c71f2a701b39ac85dd789a11eb5efd2fe29dcaf2436ace203f1")
}

// UnpackNotAllowedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func (devToken *DevToken) UnpackNotAllowedError(raw []byte) (*DevTokenNotAllowed, error) {
	out := new(DevTokenNotAllowed)
	if err := devToken.abi.UnpackIntoInterface(out, "NotAllowed", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevTokenNotTheDeployer represents a NotTheDeployer error raised by the DevToken contract.
type DevTokenNotTheDeployer struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotTheDeployer()
func DevTokenNotTheDeployerErrorID() common.Hash {
	return common.HexToHash("0xdf4e2f62a030376d94c71b40f6040418cc804817edb259bdcd79152fb98112a9")
}

// UnpackNotTheDeployerError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotTheDeployer()
func (devToken *DevToken) UnpackNotTheDeployerError(raw []byte) (*DevTokenNotTheDeployer, error) {
	out := new(DevTokenNotTheDeployer)
	if err := devToken.abi.UnpackIntoInterface(out, "NotTheDeployer", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevTokenToZero represents a ToZero error raised by the DevToken contract.
type DevTokenToZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ToZero()
func DevTokenToZeroErrorID() common.Hash {
	return common.HexToHash("0xd05951e8bdeebaee05a93ee0f903a38c8b7d84893a4639e5cd680ac6a358ced1")
}

// UnpackToZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ToZero()
func (devToken *DevToken) UnpackToZeroError(raw []byte) (*DevTokenToZero, error) {
	out := new(DevTokenToZero)
	if err := devToken.abi.UnpackIntoInterface(out, "ToZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// DevTokenTooLittle represents a TooLittle error raised by the DevToken contract.
type DevTokenTooLittle struct {
	Owner common.Address
	Has   *big.Int
	Needs *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func DevTokenTooLittleErrorID() common.Hash {
	return common.HexToHash("0xe4889ffe5a8446feb04d6f25bd030acf94070e3efef422b179af61fb0ec2966f")
}

// UnpackTooLittleError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func (devToken *DevToken) UnpackTooLittleError(raw []byte) (*DevTokenTooLittle, error) {
	out := new(DevTokenTooLittle)
	if err := devToken.abi.UnpackIntoInterface(out, "TooLittle", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// OddTokenMetaData contains all meta data concerning the OddToken contract.
var OddTokenMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"NotAllowed\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"NotTheDeployer\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"ToZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"TooLittle\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Approval\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Transfer\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"allowance\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"approve\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"balanceOf\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"callback\",\"outputs\":[{\"internalType\":\"bytes\",\"name\":\"\",\"type\":\"bytes\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"decimals\",\"outputs\":[{\"internalType\":\"uint8\",\"name\":\"\",\"type\":\"uint8\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"deployer\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"mint\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"name\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"oddity\",\"outputs\":[{\"internalType\":\"enumOddToken.Oddity\",\"name\":\"\",\"type\":\"uint8\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes\",\"name\":\"data\",\"type\":\"bytes\"}],\"name\":\"setCallback\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"enumOddToken.Oddity\",\"name\":\"o\",\"type\":\"uint8\"}],\"name\":\"setOddity\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"symbol\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"totalSupply\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transfer\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transferFrom\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"}]",
	ID:  "2597ee303fda9b3a3a94f25bf4836264d7",
	Bin: "0x60c060405234801561000f575f5ffd5b5060408051808201825260038082526213d91960ea1b60208084019190915283518085019094529083526213d11160ea1b908301523360a081905260066080819052919291908390839083905f8060016100698682610126565b5061007690508582610126565b50505050505050506101e4565b634e487b7160e01b5f52604160045260245ffd5b600181811c908216806100ab57607f821691505b6020821081036100c957634e487b7160e01b5f52602260045260245ffd5b50919050565b601f821115610121578282111561012157805f5260205f20601f840160051c60208510156100fa57505f5b90810190601f840160051c035f5b8181101561011d575f83820155600101610108565b5050505b505050565b81516001600160401b0381111561013f5761013f610083565b6101538161014d8454610097565b846100cf565b6020601f821160018114610185575f831561016e5750848201515b5f19600385901b1c1916600184901b1784556101dd565b5f84815260208120601f198516915b828110156101b45787850151825560209485019460019092019101610194565b50848210156101d157868401515f19600387901b60f8161c191681555b505060018360011b0184555b5050505050565b60805160a051610db46102135f395f81816102340152818161037001526107a701525f61016c0152610db45ff3fe608060405234801561000f575f5ffd5b50600436106100f0575f3560e01c80636984391511610093578063b3fb7a1011610063578063b3fb7a1014610209578063d0cef5ea1461021c578063d5f394881461022f578063dd62ed3e1461026e575f5ffd5b806369843915146101b557806370a08231146101cf57806395d89b41146101ee578063a9059cbb146101f6575f5ffd5b806318160ddd116100ce57806318160ddd1461013d57806323b872dd14610154578063313ce5671461016757806340c10f19146101a0575f5ffd5b806306fdde03146100f4578063083b273214610112578063095ea7b31461011a575b5f5ffd5b6100fc610298565b60405161010991906109ee565b60405180910390f35b6100fc610323565b61012d610128366004610a1b565b610330565b6040519015158152602001610109565b61014660025481565b604051908152602001610109565b61012d610162366004610a43565b610345565b61018e7f000000000000000000000000000000000000000000000000000000000000000081565b60405160ff9091168152602001610109565b6101b36101ae366004610a1b565b610365565b005b6005546101c29060ff1681565b6040516101099190610a91565b6101466101dd366004610ab7565b60036020525f908152604090205481565b6100fc610475565b61012d610204366004610a1b565b610482565b6101b3610217366004610ad0565b61048e565b6101b361022a366004610b3e565b6104a0565b6102567f000000000000000000000000000000000000000000000000000000000000000081565b6040516001600160a01b039091168152602001610109565b61014661027c366004610b5c565b600460209081525f928352604080842090915290825290205481565b5f80546102a490610b8d565b80601f01602080910402602001604051908101604052809291908181526020018280546102d090610b8d565b801561031b5780601f106102f25761010080835404028352916020019161031b565b820191905f5260205f20905b8154815290600101906020018083116102fe57829003601f168201915b505050505081565b600680546102a490610b8d565b5f61033b83836104c7565b5060015b92915050565b5f610350848361051e565b61035b8484846105d2565b90505b9392505050565b336001600160a01b037f000000000000000000000000000000000000000000000000000000000000000016146103c7576040517fdf4e2f6200000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b6001600160a01b0382166103ee57604051631a0b2a3d60e31b815260040160405180910390fd5b8060025f8282546103ff9190610bd9565b90915550506001600160a01b0382165f908152600360205260408120805483929061042b908490610bd9565b90915550506040518181526001600160a01b038316905f907fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef906020015b60405180910390a35050565b600180546102a490610b8d565b5f61035e3384846105d2565b600661049b828483610c56565b505050565b6005805482919060ff191660018360088111156104bf576104bf610a7d565b021790555050565b335f8181526004602090815260408083206001600160a01b03871680855290835292819020859055518481529192917f8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b9259101610469565b6001600160a01b0382165f9081526004602090815260408083203384529091529020546001810161054e57505050565b8181101561059d576040517fe5c728fe00000000000000000000000000000000000000000000000000000000815233600482015260248101829052604481018390526064015b60405180910390fd5b6105a78282610d11565b6001600160a01b039093165f9081526004602090815260408083203384529091529020929092555050565b6005545f9060ff1660028160088111156105ee576105ee610a7d565b036105fc575f91505061035e565b600581600881111561061057610610610a7d565b03610677576040517f08c379a000000000000000000000000000000000000000000000000000000000815260206004820152600360248201527f6f646400000000000000000000000000000000000000000000000000000000006044820152606401610594565b600481600881111561068b5761068b610a7d565b036106e757836001600160a01b0316856001600160a01b03167fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef856040516106d591815260200190565b60405180910390a3600191505061035e565b60078160088111156106fb576106fb610a7d565b0361076e575f5f336001600160a01b0316600660405161071b9190610d24565b5f604051808303815f865af19150503d805f8114610754576040519150601f19603f3d011682016040523d82523d5f602084013e610759565b606091505b50915091508161076b57805160208201fd5b50505b5f600182600881111561078357610783610a7d565b1461078e575f610799565b610799606485610d95565b905080156107cc576107cc867f000000000000000000000000000000000000000000000000000000000000000083610880565b6107e086866107db8488610d11565b610880565b60068260088111156107f4576107f4610a7d565b0361083e57600160025f82825461080b9190610bd9565b90915550506001600160a01b0385165f908152600360205260408120805460019290610838908490610bd9565b90915550505b600882600881111561085257610852610a7d565b036108605760025f5260205ff35b600382600881111561087457610874610a7d565b14159695505050505050565b6001600160a01b0382166108a757604051631a0b2a3d60e31b815260040160405180910390fd5b6001600160a01b0383165f9081526003602052604090205481811015610912576040517fe4889ffe0000000000000000000000000000000000000000000000000000000081526001600160a01b03851660048201526024810182905260448101839052606401610594565b61091c8282610d11565b6001600160a01b038086165f908152600360205260408082209390935590851681529081208054849290610951908490610bd9565b92505081905550826001600160a01b0316846001600160a01b03167fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef8460405161099d91815260200190565b60405180910390a350505050565b5f81518084525f5b818110156109cf576020818501810151868301820152016109b3565b505f602082860101526020601f19601f83011685010191505092915050565b602081525f61035e60208301846109ab565b80356001600160a01b0381168114610a16575f5ffd5b919050565b5f5f60408385031215610a2c575f5ffd5b610a3583610a00565b946020939093013593505050565b5f5f5f60608486031215610a55575f5ffd5b610a5e84610a00565b9250610a6c60208501610a00565b929592945050506040919091013590565b634e487b7160e01b5f52602160045260245ffd5b6020810160098310610ab157634e487b7160e01b5f52602160045260245ffd5b91905290565b5f60208284031215610ac7575f5ffd5b61035e82610a00565b5f5f60208385031215610ae1575f5ffd5b823567ffffffffffffffff811115610af7575f5ffd5b8301601f81018513610b07575f5ffd5b803567ffffffffffffffff811115610b1d575f5ffd5b856020828401011115610b2e575f5ffd5b6020919091019590945092505050565b5f60208284031215610b4e575f5ffd5b81356009811061035e575f5ffd5b5f5f60408385031215610b6d575f5ffd5b610b7683610a00565b9150610b8460208401610a00565b90509250929050565b600181811c90821680610ba157607f821691505b602082108103610bbf57634e487b7160e01b5f52602260045260245ffd5b50919050565b634e487b7160e01b5f52601160045260245ffd5b8082018082111561033f5761033f610bc5565b634e487b7160e01b5f52604160045260245ffd5b601f82111561049b578282111561049b57805f5260205f20601f840160051c6020851015610c2b57505f5b90810190601f840160051c035f5b81811015610c4e575f83820155600101610c39565b505050505050565b67ffffffffffffffff831115610c6e57610c6e610bec565b610c8283610c7c8354610b8d565b83610c00565b5f601f841160018114610cb3575f8515610c9c5750838201355b5f19600387901b1c1916600186901b178355610d0a565b5f83815260208120601f198716915b82811015610ce25786850135825560209485019460019092019101610cc2565b5086821015610cfe575f1960f88860031b161c19848701351681555b505060018560011b0183555b5050505050565b8181038181111561033f5761033f610bc5565b5f5f8354610d3181610b8d565b600182168015610d485760018114610d5d57610d8a565b60ff1983168652811515820286019350610d8a565b865f5260205f205f5b83811015610d8257815488820152600190910190602001610d66565b505081860193505b509195945050505050565b5f82610daf57634e487b7160e01b5f52601260045260245ffd5b50049056",
}

// OddToken is an auto generated Go binding around an Ethereum contract.
type OddToken struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *OddToken) GetABI() abi.ABI {
	return c.abi
}

// NewOddToken creates a new instance of OddToken.
func NewOddToken() *OddToken {
	parsed, err := OddTokenMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &OddToken{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *OddToken) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (oddToken *OddToken) PackAllowance(arg0 common.Address, arg1 common.Address) []byte {
	enc, err := oddToken.abi.Pack("allowance", arg0, arg1)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (oddToken *OddToken) TryPackAllowance(arg0 common.Address, arg1 common.Address) ([]byte, error) {
	return oddToken.abi.Pack("allowance", arg0, arg1)
}

// UnpackAllowance is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xdd62ed3e.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (oddToken *OddToken) UnpackAllowance(data []byte) (*big.Int, error) {
	out, err := oddToken.abi.Unpack("allowance", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (oddToken *OddToken) PackApprove(spender common.Address, amount *big.Int) []byte {
	enc, err := oddToken.abi.Pack("approve", spender, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (oddToken *OddToken) TryPackApprove(spender common.Address, amount *big.Int) ([]byte, error) {
	return oddToken.abi.Pack("approve", spender, amount)
}

// UnpackApprove is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x095ea7b3.
//
// Solidity: function approve(address spender, uint256 amount) returns(bool)
func (oddToken *OddToken) UnpackApprove(data []byte) (bool, error) {
	out, err := oddToken.abi.Unpack("approve", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (oddToken *OddToken) PackBalanceOf(arg0 common.Address) []byte {
	enc, err := oddToken.abi.Pack("balanceOf", arg0)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (oddToken *OddToken) TryPackBalanceOf(arg0 common.Address) ([]byte, error) {
	return oddToken.abi.Pack("balanceOf", arg0)
}

// UnpackBalanceOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x70a08231.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (oddToken *OddToken) UnpackBalanceOf(data []byte) (*big.Int, error) {
	out, err := oddToken.abi.Unpack("balanceOf", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackCallback is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x083b2732.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function callback() view returns(bytes)
func (oddToken *OddToken) PackCallback() []byte {
	enc, err := oddToken.abi.Pack("callback")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackCallback is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x083b2732.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function callback() view returns(bytes)
func (oddToken *OddToken) TryPackCallback() ([]byte, error) {
	return oddToken.abi.Pack("callback")
}

// UnpackCallback is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x083b2732.
//
// Solidity: function callback() view returns(bytes)
func (oddToken *OddToken) UnpackCallback(data []byte) ([]byte, error) {
	out, err := oddToken.abi.Unpack("callback", data)
	if err != nil {
		return *new([]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([]byte)).(*[]byte)
	return out0, nil
}

// PackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function decimals() view returns(uint8)
func (oddToken *OddToken) PackDecimals() []byte {
	enc, err := oddToken.abi.Pack("decimals")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function decimals() view returns(uint8)
func (oddToken *OddToken) TryPackDecimals() ([]byte, error) {
	return oddToken.abi.Pack("decimals")
}

// UnpackDecimals is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x313ce567.
//
// Solidity: function decimals() view returns(uint8)
func (oddToken *OddToken) UnpackDecimals(data []byte) (uint8, error) {
	out, err := oddToken.abi.Unpack("decimals", data)
	if err != nil {
		return *new(uint8), err
	}
	out0 := *abi.ConvertType(out[0], new(uint8)).(*uint8)
	return out0, nil
}

// PackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function deployer() view returns(address)
func (oddToken *OddToken) PackDeployer() []byte {
	enc, err := oddToken.abi.Pack("deployer")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function deployer() view returns(address)
func (oddToken *OddToken) TryPackDeployer() ([]byte, error) {
	return oddToken.abi.Pack("deployer")
}

// UnpackDeployer is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xd5f39488.
//
// Solidity: function deployer() view returns(address)
func (oddToken *OddToken) UnpackDeployer(data []byte) (common.Address, error) {
	out, err := oddToken.abi.Unpack("deployer", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// PackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (oddToken *OddToken) PackMint(to common.Address, amount *big.Int) []byte {
	enc, err := oddToken.abi.Pack("mint", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (oddToken *OddToken) TryPackMint(to common.Address, amount *big.Int) ([]byte, error) {
	return oddToken.abi.Pack("mint", to, amount)
}

// PackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function name() view returns(string)
func (oddToken *OddToken) PackName() []byte {
	enc, err := oddToken.abi.Pack("name")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function name() view returns(string)
func (oddToken *OddToken) TryPackName() ([]byte, error) {
	return oddToken.abi.Pack("name")
}

// UnpackName is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x06fdde03.
//
// Solidity: function name() view returns(string)
func (oddToken *OddToken) UnpackName(data []byte) (string, error) {
	out, err := oddToken.abi.Unpack("name", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackOddity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x69843915.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function oddity() view returns(uint8)
func (oddToken *OddToken) PackOddity() []byte {
	enc, err := oddToken.abi.Pack("oddity")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackOddity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x69843915.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function oddity() view returns(uint8)
func (oddToken *OddToken) TryPackOddity() ([]byte, error) {
	return oddToken.abi.Pack("oddity")
}

// UnpackOddity is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x69843915.
//
// Solidity: function oddity() view returns(uint8)
func (oddToken *OddToken) UnpackOddity(data []byte) (uint8, error) {
	out, err := oddToken.abi.Unpack("oddity", data)
	if err != nil {
		return *new(uint8), err
	}
	out0 := *abi.ConvertType(out[0], new(uint8)).(*uint8)
	return out0, nil
}

// PackSetCallback is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb3fb7a10.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function setCallback(bytes data) returns()
func (oddToken *OddToken) PackSetCallback(data []byte) []byte {
	enc, err := oddToken.abi.Pack("setCallback", data)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSetCallback is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb3fb7a10.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function setCallback(bytes data) returns()
func (oddToken *OddToken) TryPackSetCallback(data []byte) ([]byte, error) {
	return oddToken.abi.Pack("setCallback", data)
}

// PackSetOddity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd0cef5ea.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function setOddity(uint8 o) returns()
func (oddToken *OddToken) PackSetOddity(o uint8) []byte {
	enc, err := oddToken.abi.Pack("setOddity", o)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSetOddity is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd0cef5ea.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function setOddity(uint8 o) returns()
func (oddToken *OddToken) TryPackSetOddity(o uint8) ([]byte, error) {
	return oddToken.abi.Pack("setOddity", o)
}

// PackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function symbol() view returns(string)
func (oddToken *OddToken) PackSymbol() []byte {
	enc, err := oddToken.abi.Pack("symbol")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function symbol() view returns(string)
func (oddToken *OddToken) TryPackSymbol() ([]byte, error) {
	return oddToken.abi.Pack("symbol")
}

// UnpackSymbol is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x95d89b41.
//
// Solidity: function symbol() view returns(string)
func (oddToken *OddToken) UnpackSymbol(data []byte) (string, error) {
	out, err := oddToken.abi.Unpack("symbol", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function totalSupply() view returns(uint256)
func (oddToken *OddToken) PackTotalSupply() []byte {
	enc, err := oddToken.abi.Pack("totalSupply")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function totalSupply() view returns(uint256)
func (oddToken *OddToken) TryPackTotalSupply() ([]byte, error) {
	return oddToken.abi.Pack("totalSupply")
}

// UnpackTotalSupply is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x18160ddd.
//
// Solidity: function totalSupply() view returns(uint256)
func (oddToken *OddToken) UnpackTotalSupply(data []byte) (*big.Int, error) {
	out, err := oddToken.abi.Unpack("totalSupply", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (oddToken *OddToken) PackTransfer(to common.Address, amount *big.Int) []byte {
	enc, err := oddToken.abi.Pack("transfer", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (oddToken *OddToken) TryPackTransfer(to common.Address, amount *big.Int) ([]byte, error) {
	return oddToken.abi.Pack("transfer", to, amount)
}

// UnpackTransfer is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xa9059cbb.
//
// Solidity: function transfer(address to, uint256 amount) returns(bool)
func (oddToken *OddToken) UnpackTransfer(data []byte) (bool, error) {
	out, err := oddToken.abi.Unpack("transfer", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (oddToken *OddToken) PackTransferFrom(from common.Address, to common.Address, amount *big.Int) []byte {
	enc, err := oddToken.abi.Pack("transferFrom", from, to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (oddToken *OddToken) TryPackTransferFrom(from common.Address, to common.Address, amount *big.Int) ([]byte, error) {
	return oddToken.abi.Pack("transferFrom", from, to, amount)
}

// UnpackTransferFrom is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x23b872dd.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns(bool)
func (oddToken *OddToken) UnpackTransferFrom(data []byte) (bool, error) {
	out, err := oddToken.abi.Unpack("transferFrom", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// OddTokenApproval represents a Approval event raised by the OddToken contract.
type OddTokenApproval struct {
	Owner   common.Address
	Spender common.Address
	Value   *big.Int
	Raw     *types.Log // Blockchain specific contextual infos
}

const OddTokenApprovalEventName = "Approval"

// ContractEventName returns the user-defined event name.
func (OddTokenApproval) ContractEventName() string {
	return OddTokenApprovalEventName
}

// UnpackApprovalEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Approval(address indexed owner, address indexed spender, uint256 value)
func (oddToken *OddToken) UnpackApprovalEvent(log *types.Log) (*OddTokenApproval, error) {
	event := "Approval"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != oddToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(OddTokenApproval)
	if len(log.Data) > 0 {
		if err := oddToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range oddToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// OddTokenTransfer represents a Transfer event raised by the OddToken contract.
type OddTokenTransfer struct {
	From  common.Address
	To    common.Address
	Value *big.Int
	Raw   *types.Log // Blockchain specific contextual infos
}

const OddTokenTransferEventName = "Transfer"

// ContractEventName returns the user-defined event name.
func (OddTokenTransfer) ContractEventName() string {
	return OddTokenTransferEventName
}

// UnpackTransferEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Transfer(address indexed from, address indexed to, uint256 value)
func (oddToken *OddToken) UnpackTransferEvent(log *types.Log) (*OddTokenTransfer, error) {
	event := "Transfer"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != oddToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(OddTokenTransfer)
	if len(log.Data) > 0 {
		if err := oddToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range oddToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (oddToken *OddToken) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], oddToken.abi.Errors["NotAllowed"].ID.Bytes()[:4]) {
		return oddToken.UnpackNotAllowedError(raw[4:])
	}
	if bytes.Equal(raw[:4], oddToken.abi.Errors["NotTheDeployer"].ID.Bytes()[:4]) {
		return oddToken.UnpackNotTheDeployerError(raw[4:])
	}
	if bytes.Equal(raw[:4], oddToken.abi.Errors["ToZero"].ID.Bytes()[:4]) {
		return oddToken.UnpackToZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], oddToken.abi.Errors["TooLittle"].ID.Bytes()[:4]) {
		return oddToken.UnpackTooLittleError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// OddTokenNotAllowed represents a NotAllowed error raised by the OddToken contract.
type OddTokenNotAllowed struct {
	Spender common.Address
	Has     *big.Int
	Needs   *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func OddTokenNotAllowedErrorID() common.Hash {
	return common.HexToHash("0xe5c728fe882b7c71f2a701b39ac85dd789a11eb5efd2fe29dcaf2436ace203f1")
}

// UnpackNotAllowedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func (oddToken *OddToken) UnpackNotAllowedError(raw []byte) (*OddTokenNotAllowed, error) {
	out := new(OddTokenNotAllowed)
	if err := oddToken.abi.UnpackIntoInterface(out, "NotAllowed", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// OddTokenNotTheDeployer represents a NotTheDeployer error raised by the OddToken contract.
type OddTokenNotTheDeployer struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotTheDeployer()
func OddTokenNotTheDeployerErrorID() common.Hash {
	return common.HexToHash("0xdf4e2f62a030376d94c71b40f6040418cc804817edb259bdcd79152fb98112a9")
}

// UnpackNotTheDeployerError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotTheDeployer()
func (oddToken *OddToken) UnpackNotTheDeployerError(raw []byte) (*OddTokenNotTheDeployer, error) {
	out := new(OddTokenNotTheDeployer)
	if err := oddToken.abi.UnpackIntoInterface(out, "NotTheDeployer", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// OddTokenToZero represents a ToZero error raised by the OddToken contract.
type OddTokenToZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ToZero()
func OddTokenToZeroErrorID() common.Hash {
	return common.HexToHash("0xd05951e8bdeebaee05a93ee0f903a38c8b7d84893a4639e5cd680ac6a358ced1")
}

// UnpackToZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ToZero()
func (oddToken *OddToken) UnpackToZeroError(raw []byte) (*OddTokenToZero, error) {
	out := new(OddTokenToZero)
	if err := oddToken.abi.UnpackIntoInterface(out, "ToZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// OddTokenTooLittle represents a TooLittle error raised by the OddToken contract.
type OddTokenTooLittle struct {
	Owner common.Address
	Has   *big.Int
	Needs *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func OddTokenTooLittleErrorID() common.Hash {
	return common.HexToHash("0xe4889ffe5a8446feb04d6f25bd030acf94070e3efef422b179af61fb0ec2966f")
}

// UnpackTooLittleError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func (oddToken *OddToken) UnpackTooLittleError(raw []byte) (*OddTokenTooLittle, error) {
	out := new(OddTokenTooLittle)
	if err := oddToken.abi.UnpackIntoInterface(out, "TooLittle", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// QuietTokenMetaData contains all meta data concerning the QuietToken contract.
var QuietTokenMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"NotAllowed\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"NotTheDeployer\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"ToZero\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"has\",\"type\":\"uint256\"},{\"internalType\":\"uint256\",\"name\":\"needs\",\"type\":\"uint256\"}],\"name\":\"TooLittle\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"owner\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Approval\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"indexed\":false,\"internalType\":\"uint256\",\"name\":\"value\",\"type\":\"uint256\"}],\"name\":\"Transfer\",\"type\":\"event\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"allowance\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"spender\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"approve\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"name\":\"balanceOf\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"decimals\",\"outputs\":[{\"internalType\":\"uint8\",\"name\":\"\",\"type\":\"uint8\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"deployer\",\"outputs\":[{\"internalType\":\"address\",\"name\":\"\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"mint\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"name\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"symbol\",\"outputs\":[{\"internalType\":\"string\",\"name\":\"\",\"type\":\"string\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"totalSupply\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transfer\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"from\",\"type\":\"address\"},{\"internalType\":\"address\",\"name\":\"to\",\"type\":\"address\"},{\"internalType\":\"uint256\",\"name\":\"amount\",\"type\":\"uint256\"}],\"name\":\"transferFrom\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"}]",
	ID:  "226837f15750107eb599e48220fc62f76b",
	Bin: "0x60c060405234801561000f575f5ffd5b50604080518082018252600580825264145d5a595d60da1b602080840191909152835180850190945290835264145552515560da1b908301523360a081905260066080819052919291908390839083905f80600161006d868261012a565b5061007a9050858261012a565b50505050505050506101e8565b634e487b7160e01b5f52604160045260245ffd5b600181811c908216806100af57607f821691505b6020821081036100cd57634e487b7160e01b5f52602260045260245ffd5b50919050565b601f821115610125578282111561012557805f5260205f20601f840160051c60208510156100fe57505f5b90810190601f840160051c035f5b81811015610121575f8382015560010161010c565b5050505b505050565b81516001600160401b0381111561014357610143610087565b61015781610151845461009b565b846100d3565b6020601f821160018114610189575f83156101725750848201515b5f19600385901b1c1916600184901b1784556101e1565b5f84815260208120601f198516915b828110156101b85787850151825560209485019460019092019101610198565b50848210156101d557868401515f19600387901b60f8161c191681555b505060018360011b0184555b5050505050565b60805160a0516107b66102105f395f81816101b001526102d201525f61012a01526107b65ff3fe608060405234801561000f575f5ffd5b50600436106100c4575f3560e01c806340c10f191161007d578063a9059cbb11610058578063a9059cbb14610198578063d5f39488146101ab578063dd62ed3e146101ea575f5ffd5b806340c10f191461015e57806370a082311461017157806395d89b4114610190575f5ffd5b806318160ddd116100ad57806318160ddd146100fb57806323b872dd14610112578063313ce56714610125575f5ffd5b806306fdde03146100c8578063095ea7b3146100e6575b5f5ffd5b6100d0610214565b6040516100dd9190610625565b60405180910390f35b6100f96100f436600461068b565b61029f565b005b61010460025481565b6040519081526020016100dd565b6100f96101203660046106b3565b6102ad565b61014c7f000000000000000000000000000000000000000000000000000000000000000081565b60405160ff90911681526020016100dd565b6100f961016c36600461068b565b6102c7565b61010461017f3660046106ed565b60036020525f908152604090205481565b6100d06103d7565b6100f96101a636600461068b565b6103e4565b6101d27f000000000000000000000000000000000000000000000000000000000000000081565b6040516001600160a01b0390911681526020016100dd565b6101046101f836600461070d565b600460209081525f928352604080842090915290825290205481565b5f80546102209061073e565b80601f016020809104026020016040519081016040528092919081815260200182805461024c9061073e565b80156102975780601f1061026e57610100808354040283529160200191610297565b820191905f5260205f20905b81548152906001019060200180831161027a57829003601f168201915b505050505081565b6102a982826103ef565b5050565b6102b78382610446565b6102c28383836104fa565b505050565b336001600160a01b037f00000000000000000000000000000000000000000000000000000000000000001614610329576040517fdf4e2f6200000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b6001600160a01b03821661035057604051631a0b2a3d60e31b815260040160405180910390fd5b8060025f828254610361919061078a565b90915550506001600160a01b0382165f908152600360205260408120805483929061038d90849061078a565b90915550506040518181526001600160a01b038316905f907fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef906020015b60405180910390a35050565b600180546102209061073e565b6102a93383836104fa565b335f8181526004602090815260408083206001600160a01b03871680855290835292819020859055518481529192917f8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b92591016103cb565b6001600160a01b0382165f9081526004602090815260408083203384529091529020546001810161047657505050565b818110156104c5576040517fe5c728fe00000000000000000000000000000000000000000000000000000000815233600482015260248101829052604481018390526064015b60405180910390fd5b6104cf82826107a3565b6001600160a01b039093165f9081526004602090815260408083203384529091529020929092555050565b6001600160a01b03821661052157604051631a0b2a3d60e31b815260040160405180910390fd5b6001600160a01b0383165f908152600360205260409020548181101561058c576040517fe4889ffe0000000000000000000000000000000000000000000000000000000081526001600160a01b038516600482015260248101829052604481018390526064016104bc565b61059682826107a3565b6001600160a01b038086165f9081526003602052604080822093909355908516815290812080548492906105cb90849061078a565b92505081905550826001600160a01b0316846001600160a01b03167fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef8460405161061791815260200190565b60405180910390a350505050565b602081525f82518060208401525f5b818110156106515760208186018101516040868401015201610634565b505f604082850101526040601f19601f83011684010191505092915050565b80356001600160a01b0381168114610686575f5ffd5b919050565b5f5f6040838503121561069c575f5ffd5b6106a583610670565b946020939093013593505050565b5f5f5f606084860312156106c5575f5ffd5b6106ce84610670565b92506106dc60208501610670565b929592945050506040919091013590565b5f602082840312156106fd575f5ffd5b61070682610670565b9392505050565b5f5f6040838503121561071e575f5ffd5b61072783610670565b915061073560208401610670565b90509250929050565b600181811c9082168061075257607f821691505b60208210810361077057634e487b7160e01b5f52602260045260245ffd5b50919050565b634e487b7160e01b5f52601160045260245ffd5b8082018082111561079d5761079d610776565b92915050565b8181038181111561079d5761079d61077656",
}

// QuietToken is an auto generated Go binding around an Ethereum contract.
type QuietToken struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *QuietToken) GetABI() abi.ABI {
	return c.abi
}

// NewQuietToken creates a new instance of QuietToken.
func NewQuietToken() *QuietToken {
	parsed, err := QuietTokenMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &QuietToken{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *QuietToken) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (quietToken *QuietToken) PackAllowance(arg0 common.Address, arg1 common.Address) []byte {
	enc, err := quietToken.abi.Pack("allowance", arg0, arg1)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAllowance is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xdd62ed3e.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (quietToken *QuietToken) TryPackAllowance(arg0 common.Address, arg1 common.Address) ([]byte, error) {
	return quietToken.abi.Pack("allowance", arg0, arg1)
}

// UnpackAllowance is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xdd62ed3e.
//
// Solidity: function allowance(address , address ) view returns(uint256)
func (quietToken *QuietToken) UnpackAllowance(data []byte) (*big.Int, error) {
	out, err := quietToken.abi.Unpack("allowance", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function approve(address spender, uint256 amount) returns()
func (quietToken *QuietToken) PackApprove(spender common.Address, amount *big.Int) []byte {
	enc, err := quietToken.abi.Pack("approve", spender, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackApprove is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x095ea7b3.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function approve(address spender, uint256 amount) returns()
func (quietToken *QuietToken) TryPackApprove(spender common.Address, amount *big.Int) ([]byte, error) {
	return quietToken.abi.Pack("approve", spender, amount)
}

// PackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (quietToken *QuietToken) PackBalanceOf(arg0 common.Address) []byte {
	enc, err := quietToken.abi.Pack("balanceOf", arg0)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackBalanceOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x70a08231.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (quietToken *QuietToken) TryPackBalanceOf(arg0 common.Address) ([]byte, error) {
	return quietToken.abi.Pack("balanceOf", arg0)
}

// UnpackBalanceOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x70a08231.
//
// Solidity: function balanceOf(address ) view returns(uint256)
func (quietToken *QuietToken) UnpackBalanceOf(data []byte) (*big.Int, error) {
	out, err := quietToken.abi.Unpack("balanceOf", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function decimals() view returns(uint8)
func (quietToken *QuietToken) PackDecimals() []byte {
	enc, err := quietToken.abi.Pack("decimals")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDecimals is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x313ce567.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function decimals() view returns(uint8)
func (quietToken *QuietToken) TryPackDecimals() ([]byte, error) {
	return quietToken.abi.Pack("decimals")
}

// UnpackDecimals is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x313ce567.
//
// Solidity: function decimals() view returns(uint8)
func (quietToken *QuietToken) UnpackDecimals(data []byte) (uint8, error) {
	out, err := quietToken.abi.Unpack("decimals", data)
	if err != nil {
		return *new(uint8), err
	}
	out0 := *abi.ConvertType(out[0], new(uint8)).(*uint8)
	return out0, nil
}

// PackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function deployer() view returns(address)
func (quietToken *QuietToken) PackDeployer() []byte {
	enc, err := quietToken.abi.Pack("deployer")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDeployer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd5f39488.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function deployer() view returns(address)
func (quietToken *QuietToken) TryPackDeployer() ([]byte, error) {
	return quietToken.abi.Pack("deployer")
}

// UnpackDeployer is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xd5f39488.
//
// Solidity: function deployer() view returns(address)
func (quietToken *QuietToken) UnpackDeployer(data []byte) (common.Address, error) {
	out, err := quietToken.abi.Unpack("deployer", data)
	if err != nil {
		return *new(common.Address), err
	}
	out0 := *abi.ConvertType(out[0], new(common.Address)).(*common.Address)
	return out0, nil
}

// PackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (quietToken *QuietToken) PackMint(to common.Address, amount *big.Int) []byte {
	enc, err := quietToken.abi.Pack("mint", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMint is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x40c10f19.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function mint(address to, uint256 amount) returns()
func (quietToken *QuietToken) TryPackMint(to common.Address, amount *big.Int) ([]byte, error) {
	return quietToken.abi.Pack("mint", to, amount)
}

// PackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function name() view returns(string)
func (quietToken *QuietToken) PackName() []byte {
	enc, err := quietToken.abi.Pack("name")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackName is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x06fdde03.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function name() view returns(string)
func (quietToken *QuietToken) TryPackName() ([]byte, error) {
	return quietToken.abi.Pack("name")
}

// UnpackName is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x06fdde03.
//
// Solidity: function name() view returns(string)
func (quietToken *QuietToken) UnpackName(data []byte) (string, error) {
	out, err := quietToken.abi.Unpack("name", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function symbol() view returns(string)
func (quietToken *QuietToken) PackSymbol() []byte {
	enc, err := quietToken.abi.Pack("symbol")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSymbol is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x95d89b41.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function symbol() view returns(string)
func (quietToken *QuietToken) TryPackSymbol() ([]byte, error) {
	return quietToken.abi.Pack("symbol")
}

// UnpackSymbol is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x95d89b41.
//
// Solidity: function symbol() view returns(string)
func (quietToken *QuietToken) UnpackSymbol(data []byte) (string, error) {
	out, err := quietToken.abi.Unpack("symbol", data)
	if err != nil {
		return *new(string), err
	}
	out0 := *abi.ConvertType(out[0], new(string)).(*string)
	return out0, nil
}

// PackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function totalSupply() view returns(uint256)
func (quietToken *QuietToken) PackTotalSupply() []byte {
	enc, err := quietToken.abi.Pack("totalSupply")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTotalSupply is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x18160ddd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function totalSupply() view returns(uint256)
func (quietToken *QuietToken) TryPackTotalSupply() ([]byte, error) {
	return quietToken.abi.Pack("totalSupply")
}

// UnpackTotalSupply is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x18160ddd.
//
// Solidity: function totalSupply() view returns(uint256)
func (quietToken *QuietToken) UnpackTotalSupply(data []byte) (*big.Int, error) {
	out, err := quietToken.abi.Unpack("totalSupply", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transfer(address to, uint256 amount) returns()
func (quietToken *QuietToken) PackTransfer(to common.Address, amount *big.Int) []byte {
	enc, err := quietToken.abi.Pack("transfer", to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransfer is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa9059cbb.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transfer(address to, uint256 amount) returns()
func (quietToken *QuietToken) TryPackTransfer(to common.Address, amount *big.Int) ([]byte, error) {
	return quietToken.abi.Pack("transfer", to, amount)
}

// PackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns()
func (quietToken *QuietToken) PackTransferFrom(from common.Address, to common.Address, amount *big.Int) []byte {
	enc, err := quietToken.abi.Pack("transferFrom", from, to, amount)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackTransferFrom is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x23b872dd.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function transferFrom(address from, address to, uint256 amount) returns()
func (quietToken *QuietToken) TryPackTransferFrom(from common.Address, to common.Address, amount *big.Int) ([]byte, error) {
	return quietToken.abi.Pack("transferFrom", from, to, amount)
}

// QuietTokenApproval represents a Approval event raised by the QuietToken contract.
type QuietTokenApproval struct {
	Owner   common.Address
	Spender common.Address
	Value   *big.Int
	Raw     *types.Log // Blockchain specific contextual infos
}

const QuietTokenApprovalEventName = "Approval"

// ContractEventName returns the user-defined event name.
func (QuietTokenApproval) ContractEventName() string {
	return QuietTokenApprovalEventName
}

// UnpackApprovalEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Approval(address indexed owner, address indexed spender, uint256 value)
func (quietToken *QuietToken) UnpackApprovalEvent(log *types.Log) (*QuietTokenApproval, error) {
	event := "Approval"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != quietToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(QuietTokenApproval)
	if len(log.Data) > 0 {
		if err := quietToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range quietToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// QuietTokenTransfer represents a Transfer event raised by the QuietToken contract.
type QuietTokenTransfer struct {
	From  common.Address
	To    common.Address
	Value *big.Int
	Raw   *types.Log // Blockchain specific contextual infos
}

const QuietTokenTransferEventName = "Transfer"

// ContractEventName returns the user-defined event name.
func (QuietTokenTransfer) ContractEventName() string {
	return QuietTokenTransferEventName
}

// UnpackTransferEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Transfer(address indexed from, address indexed to, uint256 value)
func (quietToken *QuietToken) UnpackTransferEvent(log *types.Log) (*QuietTokenTransfer, error) {
	event := "Transfer"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != quietToken.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(QuietTokenTransfer)
	if len(log.Data) > 0 {
		if err := quietToken.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range quietToken.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (quietToken *QuietToken) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], quietToken.abi.Errors["NotAllowed"].ID.Bytes()[:4]) {
		return quietToken.UnpackNotAllowedError(raw[4:])
	}
	if bytes.Equal(raw[:4], quietToken.abi.Errors["NotTheDeployer"].ID.Bytes()[:4]) {
		return quietToken.UnpackNotTheDeployerError(raw[4:])
	}
	if bytes.Equal(raw[:4], quietToken.abi.Errors["ToZero"].ID.Bytes()[:4]) {
		return quietToken.UnpackToZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], quietToken.abi.Errors["TooLittle"].ID.Bytes()[:4]) {
		return quietToken.UnpackTooLittleError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// QuietTokenNotAllowed represents a NotAllowed error raised by the QuietToken contract.
type QuietTokenNotAllowed struct {
	Spender common.Address
	Has     *big.Int
	Needs   *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func QuietTokenNotAllowedErrorID() common.Hash {
	return common.HexToHash("0xe5c728fe882b7c71f2a701b39ac85dd789a11eb5efd2fe29dcaf2436ace203f1")
}

// UnpackNotAllowedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotAllowed(address spender, uint256 has, uint256 needs)
func (quietToken *QuietToken) UnpackNotAllowedError(raw []byte) (*QuietTokenNotAllowed, error) {
	out := new(QuietTokenNotAllowed)
	if err := quietToken.abi.UnpackIntoInterface(out, "NotAllowed", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// QuietTokenNotTheDeployer represents a NotTheDeployer error raised by the QuietToken contract.
type QuietTokenNotTheDeployer struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotTheDeployer()
func QuietTokenNotTheDeployerErrorID() common.Hash {
	return common.HexToHash("0xdf4e2f62a030376d94c71b40f6040418cc804817edb259bdcd79152fb98112a9")
}

// UnpackNotTheDeployerError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotTheDeployer()
func (quietToken *QuietToken) UnpackNotTheDeployerError(raw []byte) (*QuietTokenNotTheDeployer, error) {
	out := new(QuietTokenNotTheDeployer)
	if err := quietToken.abi.UnpackIntoInterface(out, "NotTheDeployer", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// QuietTokenToZero represents a ToZero error raised by the QuietToken contract.
type QuietTokenToZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ToZero()
func QuietTokenToZeroErrorID() common.Hash {
	return common.HexToHash("0xd05951e8bdeebaee05a93ee0f903a38c8b7d84893a4639e5cd680ac6a358ced1")
}

// UnpackToZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ToZero()
func (quietToken *QuietToken) UnpackToZeroError(raw []byte) (*QuietTokenToZero, error) {
	out := new(QuietTokenToZero)
	if err := quietToken.abi.UnpackIntoInterface(out, "ToZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// QuietTokenTooLittle represents a TooLittle error raised by the QuietToken contract.
type QuietTokenTooLittle struct {
	Owner common.Address
	Has   *big.Int
	Needs *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func QuietTokenTooLittleErrorID() common.Hash {
	return common.HexToHash("0xe4889ffe5a8446feb04d6f25bd030acf94070e3efef422b179af61fb0ec2966f")
}

// UnpackTooLittleError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TooLittle(address owner, uint256 has, uint256 needs)
func (quietToken *QuietToken) UnpackTooLittleError(raw []byte) (*QuietTokenTooLittle, error) {
	out := new(QuietTokenTooLittle)
	if err := quietToken.abi.UnpackIntoInterface(out, "TooLittle", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// RefusesEtherMetaData contains all meta data concerning the RefusesEther contract.
var RefusesEtherMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[],\"name\":\"NoEther\",\"type\":\"error\"},{\"stateMutability\":\"payable\",\"type\":\"receive\"}]",
	ID:  "9a0626d693014d227d87cc6d77245fb07c",
	Bin: "0x6080604052348015600e575f5ffd5b50603e80601a5f395ff3fe608060405236603a576040517fa4675adf00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b5f5ffd",
}

// RefusesEther is an auto generated Go binding around an Ethereum contract.
type RefusesEther struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *RefusesEther) GetABI() abi.ABI {
	return c.abi
}

// NewRefusesEther creates a new instance of RefusesEther.
func NewRefusesEther() *RefusesEther {
	parsed, err := RefusesEtherMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &RefusesEther{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *RefusesEther) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (refusesEther *RefusesEther) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], refusesEther.abi.Errors["NoEther"].ID.Bytes()[:4]) {
		return refusesEther.UnpackNoEtherError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// RefusesEtherNoEther represents a NoEther error raised by the RefusesEther contract.
type RefusesEtherNoEther struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NoEther()
func RefusesEtherNoEtherErrorID() common.Hash {
	return common.HexToHash("0xa4675adfeb1976301a674b1affc003fa5c1b93354c821ea20f53938387158682")
}

// UnpackNoEtherError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NoEther()
func (refusesEther *RefusesEther) UnpackNoEtherError(raw []byte) (*RefusesEtherNoEther, error) {
	out := new(RefusesEtherNoEther)
	if err := refusesEther.abi.UnpackIntoInterface(out, "NoEther", raw); err != nil {
		return nil, err
	}
	return out, nil
}
