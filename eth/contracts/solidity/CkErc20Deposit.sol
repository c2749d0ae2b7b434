// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Helper} from "./Helper.sol";

/// CkErc20Deposit takes tokens for ckERC20. It is the second of the interfaces; CkDeposit does all that it does.
contract CkErc20Deposit is Helper {
    event ReceivedErc20(address indexed erc20_contract_address, address indexed owner, uint256 amount, bytes32 indexed principal);

    constructor(address minterAddress) Helper(minterAddress) {}

    /// Deposits tokens of the caller, which must be approved, for a principal: its length, its bytes, zeros.
    function deposit(address erc20_address, uint256 amount, bytes32 principal) external nonReentrant {
        forwardToken(erc20_address, amount);
        emit ReceivedErc20(erc20_address, msg.sender, amount, principal);
    }
}
