// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Helper} from "./Helper.sol";

/// CkDeposit takes ether for ckETH and tokens for ckERC20, for an account of ICRC-1: a principal and a subaccount.
contract CkDeposit is Helper {
    /// The token is zero for ether.
    event ReceivedEthOrErc20(
        address indexed erc20ContractAddress,
        address indexed owner,
        uint256 amount,
        bytes32 indexed principal,
        bytes32 subaccount
    );

    /// Nobody, or everybody, would own what is minted.
    error BadPrincipal(bytes32 principal);

    constructor(address minterAddress) Helper(minterAddress) {}

    /// Deposits the call's ether.
    function depositEth(bytes32 principal, bytes32 subaccount) external payable nonReentrant {
        checkPrincipal(principal);
        forwardEther();
        emit ReceivedEthOrErc20(address(0), msg.sender, msg.value, principal, subaccount);
    }

    /// Deposits tokens of the caller, which must be approved.
    function depositErc20(address erc20Address, uint256 amount, bytes32 principal, bytes32 subaccount) external nonReentrant {
        checkPrincipal(principal);
        forwardToken(erc20Address, amount);
        emit ReceivedEthOrErc20(erc20Address, msg.sender, amount, principal, subaccount);
    }

    /// Refuses what the minter could not mint for, while the money is still the sender's: a principal has 1 to 29 bytes behind its length
    /// and zeros behind those, and is not the anonymous one (the byte 4).
    function checkPrincipal(bytes32 principal) private pure {
        uint256 length = uint8(principal[0]);
        if (length == 0 || length > 29 || principal << (8 * (length + 1)) != 0 || principal == bytes32(uint256(0x0104) << 240))
            revert BadPrincipal(principal);
    }
}
