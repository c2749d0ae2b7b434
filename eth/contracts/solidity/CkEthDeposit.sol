// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Helper} from "./Helper.sol";

/// CkEthDeposit takes ether for ckETH. It is the first of the interfaces; CkDeposit does all that it does.
contract CkEthDeposit is Helper {
    event ReceivedEth(address indexed from, uint256 value, bytes32 indexed principal);

    constructor(address minterAddress) Helper(minterAddress) {}

    /// Deposits the call's ether for a principal: its length, its bytes, zeros.
    function deposit(bytes32 principal) external payable nonReentrant {
        forwardEther();
        emit ReceivedEth(msg.sender, msg.value, principal);
    }
}
