// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface IERC20 {
    function balanceOf(address owner) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// Helper is what the contracts for deposits share. It never holds anything: what comes in goes to the minter in the same transaction, or
/// the transaction reverts.
abstract contract Helper {
    address payable private immutable minter;
    bool private entered;

    error MinterIsZero();
    error AmountIsZero();
    error Reentered();
    error EtherRefused();
    error NotAToken(address token);
    error TokenRefused(address token);
    /// The minter's balance did not grow by what the event would say: a fee, a rebase, a token that lies.
    error WrongAmount(address token, uint256 sent, uint256 received);

    constructor(address minterAddress) {
        if (minterAddress == address(0)) revert MinterIsZero();
        minter = payable(minterAddress);
    }

    /// The lock covers all functions that move something, so that a token which calls back cannot have one transfer counted twice.
    modifier nonReentrant() {
        if (entered) revert Reentered();
        entered = true;
        _;
        entered = false;
    }

    /// The account to which deposits go.
    function getMinterAddress() external view returns (address) {
        return minter;
    }

    /// Forwards the call's ether. Solidity's `transfer` leaves 2300 gas, which an account with delegated code (EIP-7702) may exceed.
    function forwardEther() internal {
        if (msg.value == 0) revert AmountIsZero();
        (bool ok, ) = minter.call{value: msg.value}("");
        if (!ok) revert EtherRefused();
    }

    /// Moves the caller's tokens, which must be approved. Tokens that return nothing are fine; those that return false, have no code, or
    /// deliver anything else than the amount are not.
    function forwardToken(address token, uint256 amount) internal {
        if (amount == 0) revert AmountIsZero();
        if (token.code.length == 0) revert NotAToken(token);
        uint256 before = IERC20(token).balanceOf(minter);
        (bool ok, bytes memory answer) = token.call(abi.encodeCall(IERC20.transferFrom, (msg.sender, minter, amount)));
        if (!ok) {
            if (answer.length == 0) revert TokenRefused(token);
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer)) // the token's own reason
            }
        }
        if (answer.length != 0 && (answer.length < 32 || abi.decode(answer, (uint256)) != 1)) revert TokenRefused(token);
        uint256 received = IERC20(token).balanceOf(minter) - before;
        if (received != amount) revert WrongAmount(token, amount, received);
    }
}
