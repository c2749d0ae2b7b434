// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Balances is what the tokens of development networks share; they differ in how they move them.
abstract contract Balances {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;
    address public immutable deployer;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error NotTheDeployer();
    error TooLittle(address owner, uint256 has, uint256 needs);
    error NotAllowed(address spender, uint256 has, uint256 needs);
    error ToZero();

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        (name, symbol, decimals, deployer) = (name_, symbol_, decimals_, msg.sender);
    }

    /// The deployer makes as much as it likes.
    function mint(address to, uint256 amount) external {
        if (msg.sender != deployer) revert NotTheDeployer();
        if (to == address(0)) revert ToZero();
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function allow(address spender, uint256 amount) internal {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }

    function spend(address owner, uint256 amount) internal {
        uint256 has = allowance[owner][msg.sender];
        if (has == type(uint256).max) return;
        if (has < amount) revert NotAllowed(msg.sender, has, amount);
        allowance[owner][msg.sender] = has - amount;
    }

    function move(address from, address to, uint256 amount) internal {
        if (to == address(0)) revert ToZero();
        uint256 has = balanceOf[from];
        if (has < amount) revert TooLittle(from, has, amount);
        balanceOf[from] = has - amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}

/// DevToken is an ERC-20 token as it should be.
contract DevToken is Balances {
    constructor(string memory name_, string memory symbol_, uint8 decimals_) Balances(name_, symbol_, decimals_) {}

    function approve(address spender, uint256 amount) external returns (bool) {
        allow(spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        spend(from, amount);
        move(from, to, amount);
        return true;
    }
}

/// QuietToken returns nothing, as some of the largest tokens do.
contract QuietToken is Balances {
    constructor() Balances("Quiet", "QUIET", 6) {}

    function approve(address spender, uint256 amount) external {
        allow(spender, amount);
    }

    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        spend(from, amount);
        move(from, to, amount);
    }
}

/// OddToken does what its owner tells it to, in ways that tokens have surprised contracts with.
contract OddToken is Balances {
    enum Oddity {
        None,
        Fee, // a hundredth goes to the deployer
        ReturnsFalse, // and moves nothing
        FalseButMoves, // returns false and moves all the same
        SilentNothing, // returns true, logs the transfer and moves nothing
        Reverts,
        Bonus, // the receiver gets one more
        Reenters, // calls back into whoever called
        ReturnsGarbage // a word that is no truth value
    }

    Oddity public oddity;
    bytes public callback;

    constructor() Balances("Odd", "ODD", 6) {}

    function setOddity(Oddity o) external {
        oddity = o;
    }

    /// What Reenters calls its caller with.
    function setCallback(bytes calldata data) external {
        callback = data;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allow(spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return odd(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        spend(from, amount);
        return odd(from, to, amount);
    }

    function odd(address from, address to, uint256 amount) private returns (bool) {
        Oddity o = oddity;
        if (o == Oddity.ReturnsFalse) return false;
        if (o == Oddity.Reverts) revert("odd");
        if (o == Oddity.SilentNothing) {
            emit Transfer(from, to, amount);
            return true;
        }
        if (o == Oddity.Reenters) {
            (bool ok, bytes memory answer) = msg.sender.call(callback);
            if (!ok)
                assembly ("memory-safe") {
                    revert(add(answer, 32), mload(answer))
                }
        }
        uint256 fee = o == Oddity.Fee ? amount / 100 : 0;
        if (fee != 0) move(from, deployer, fee);
        move(from, to, amount - fee);
        if (o == Oddity.Bonus) {
            totalSupply += 1;
            balanceOf[to] += 1;
        }
        if (o == Oddity.ReturnsGarbage)
            assembly ("memory-safe") {
                mstore(0, 2)
                return(0, 32)
            }
        return o != Oddity.FalseButMoves;
    }
}

/// RefusesEther is a recipient to which ether cannot be sent.
contract RefusesEther {
    error NoEther();

    receive() external payable {
        revert NoEther();
    }
}
