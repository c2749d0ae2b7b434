// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "./Helper.sol";

/// DevSwap is a small exchange for development networks: constant product, a fee of 0.3 %, the calls of a Uniswap V2 router. Ether stands
/// in paths as WETH(), which is this contract's own address: there is no wrapped token. It expects tokens without oddities.
contract DevSwap {
    struct Pool {
        uint256 reserve0; // of the lower address
        uint256 reserve1;
        uint256 shares;
    }

    mapping(bytes32 => Pool) private pools;
    mapping(bytes32 => mapping(address => uint256)) private sharesOf;
    bool private entered;

    event Swap(address indexed sender, address indexed tokenIn, address indexed tokenOut, uint256 amountIn, uint256 amountOut, address to);
    event LiquidityAdded(address indexed provider, address indexed tokenA, address indexed tokenB, uint256 amountA, uint256 amountB, uint256 shares);
    event LiquidityRemoved(address indexed provider, address indexed tokenA, address indexed tokenB, uint256 amountA, uint256 amountB, uint256 shares);

    error Expired(uint256 deadline);
    error Reentered();
    error SameToken();
    error BadPath();
    error NoLiquidity();
    error TooLittleOut(uint256 amount, uint256 least);
    error TransferFailed(address token);

    modifier live(uint256 deadline) {
        if (block.timestamp > deadline) revert Expired(deadline);
        if (entered) revert Reentered();
        entered = true;
        _;
        entered = false;
    }

    function WETH() public view returns (address) {
        return address(this);
    }

    function getReserves(address tokenA, address tokenB) public view returns (uint256 reserveA, uint256 reserveB) {
        Pool storage p = pools[key(tokenA, tokenB)];
        return tokenA < tokenB ? (p.reserve0, p.reserve1) : (p.reserve1, p.reserve0);
    }

    function liquidityOf(address tokenA, address tokenB, address owner) external view returns (uint256 shares, uint256 total) {
        bytes32 k = key(tokenA, tokenB);
        return (sharesOf[k][owner], pools[k].shares);
    }

    function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) public pure returns (uint256) {
        if (reserveIn == 0 || reserveOut == 0) revert NoLiquidity();
        uint256 net = amountIn * 997;
        return (net * reserveOut) / (reserveIn * 1000 + net);
    }

    function getAmountsOut(uint256 amountIn, address[] memory path) public view returns (uint256[] memory amounts) {
        if (path.length < 2) revert BadPath();
        amounts = new uint256[](path.length);
        amounts[0] = amountIn;
        for (uint256 i = 1; i < path.length; i++) {
            (uint256 reserveIn, uint256 reserveOut) = getReserves(path[i - 1], path[i]);
            amounts[i] = getAmountOut(amounts[i - 1], reserveIn, reserveOut);
        }
    }

    function addLiquidity(
        address tokenA,
        address tokenB,
        uint256 amountADesired,
        uint256 amountBDesired,
        uint256 amountAMin,
        uint256 amountBMin,
        address to,
        uint256 deadline
    ) external live(deadline) returns (uint256 amountA, uint256 amountB, uint256 liquidity) {
        if (tokenA == WETH() || tokenB == WETH()) revert BadPath();
        (amountA, amountB, liquidity) = add(tokenA, tokenB, amountADesired, amountBDesired, to);
        atLeast(amountA, amountAMin);
        atLeast(amountB, amountBMin);
        pull(tokenA, amountA);
        pull(tokenB, amountB);
    }

    function addLiquidityETH(
        address token,
        uint256 amountTokenDesired,
        uint256 amountTokenMin,
        uint256 amountETHMin,
        address to,
        uint256 deadline
    ) external payable live(deadline) returns (uint256 amountToken, uint256 amountETH, uint256 liquidity) {
        (amountToken, amountETH, liquidity) = add(token, WETH(), amountTokenDesired, msg.value, to);
        atLeast(amountToken, amountTokenMin);
        atLeast(amountETH, amountETHMin);
        pull(token, amountToken);
        if (msg.value > amountETH) push(WETH(), msg.sender, msg.value - amountETH);
    }

    function removeLiquidity(
        address tokenA,
        address tokenB,
        uint256 liquidity,
        uint256 amountAMin,
        uint256 amountBMin,
        address to,
        uint256 deadline
    ) external live(deadline) returns (uint256 amountA, uint256 amountB) {
        (amountA, amountB) = remove(tokenA, tokenB, liquidity);
        atLeast(amountA, amountAMin);
        atLeast(amountB, amountBMin);
        push(tokenA, to, amountA);
        push(tokenB, to, amountB);
    }

    function swapExactTokensForTokens(
        uint256 amountIn,
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external live(deadline) returns (uint256[] memory amounts) {
        if (path.length < 2 || path[0] == WETH() || path[path.length - 1] == WETH()) revert BadPath();
        amounts = swap(amountIn, amountOutMin, path, to);
    }

    function swapExactETHForTokens(
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external payable live(deadline) returns (uint256[] memory amounts) {
        if (path.length < 2 || path[0] != WETH()) revert BadPath();
        amounts = swap(msg.value, amountOutMin, path, to);
    }

    function swapExactTokensForETH(
        uint256 amountIn,
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external live(deadline) returns (uint256[] memory amounts) {
        if (path.length < 2 || path[0] == WETH() || path[path.length - 1] != WETH()) revert BadPath();
        amounts = swap(amountIn, amountOutMin, path, to);
    }

    /// Every step changes its pool before the next is computed, so a path that visits a pool twice pays the price of the second visit.
    function swap(uint256 amountIn, uint256 amountOutMin, address[] calldata path, address to) private returns (uint256[] memory amounts) {
        amounts = new uint256[](path.length);
        amounts[0] = amountIn;
        for (uint256 i = 1; i < path.length; i++) {
            (address tokenIn, address tokenOut) = (path[i - 1], path[i]);
            (uint256 reserveIn, uint256 reserveOut) = getReserves(tokenIn, tokenOut);
            amounts[i] = getAmountOut(amounts[i - 1], reserveIn, reserveOut);
            setReserves(tokenIn, tokenOut, reserveIn + amounts[i - 1], reserveOut - amounts[i]);
            emit Swap(msg.sender, tokenIn, tokenOut, amounts[i - 1], amounts[i], to);
        }
        uint256 out = amounts[path.length - 1];
        if (out == 0) revert TooLittleOut(out, 1);
        atLeast(out, amountOutMin);
        if (path[0] != WETH()) pull(path[0], amountIn);
        push(path[path.length - 1], to, out);
    }

    /// The first provider sets the price and gets as many shares as both amounts together; later ones join at the pool's price.
    function add(address tokenA, address tokenB, uint256 wantA, uint256 wantB, address to) private returns (uint256 amountA, uint256 amountB, uint256 shares) {
        bytes32 k = key(tokenA, tokenB);
        uint256 total = pools[k].shares;
        (uint256 reserveA, uint256 reserveB) = getReserves(tokenA, tokenB);
        if (total == 0) {
            (amountA, amountB, shares) = (wantA, wantB, wantA + wantB);
        } else {
            (amountA, amountB) = (wantA, (wantA * reserveB) / reserveA);
            if (amountB > wantB) (amountA, amountB) = ((wantB * reserveA) / reserveB, wantB);
            shares = min((total * amountA) / reserveA, (total * amountB) / reserveB);
        }
        if (amountA == 0 || amountB == 0 || shares == 0) revert NoLiquidity();
        pools[k].shares = total + shares;
        sharesOf[k][to] += shares;
        setReserves(tokenA, tokenB, reserveA + amountA, reserveB + amountB);
        emit LiquidityAdded(msg.sender, tokenA, tokenB, amountA, amountB, shares);
    }

    function remove(address tokenA, address tokenB, uint256 shares) private returns (uint256 amountA, uint256 amountB) {
        bytes32 k = key(tokenA, tokenB);
        uint256 total = pools[k].shares;
        if (total == 0) revert NoLiquidity();
        (uint256 reserveA, uint256 reserveB) = getReserves(tokenA, tokenB);
        (amountA, amountB) = ((reserveA * shares) / total, (reserveB * shares) / total);
        sharesOf[k][msg.sender] -= shares; // reverts below zero
        pools[k].shares = total - shares;
        setReserves(tokenA, tokenB, reserveA - amountA, reserveB - amountB);
        emit LiquidityRemoved(msg.sender, tokenA, tokenB, amountA, amountB, shares);
    }

    function key(address tokenA, address tokenB) private pure returns (bytes32) {
        if (tokenA == tokenB) revert SameToken();
        return tokenA < tokenB ? keccak256(abi.encode(tokenA, tokenB)) : keccak256(abi.encode(tokenB, tokenA));
    }

    function setReserves(address tokenA, address tokenB, uint256 reserveA, uint256 reserveB) private {
        Pool storage p = pools[key(tokenA, tokenB)];
        (p.reserve0, p.reserve1) = tokenA < tokenB ? (reserveA, reserveB) : (reserveB, reserveA);
    }

    function pull(address token, uint256 amount) private {
        checked(token, abi.encodeCall(IERC20.transferFrom, (msg.sender, address(this), amount)));
    }

    function push(address token, address to, uint256 amount) private {
        if (token != WETH()) return checked(token, abi.encodeCall(IERC20.transfer, (to, amount)));
        (bool ok, ) = payable(to).call{value: amount}("");
        if (!ok) revert TransferFailed(token);
    }

    function checked(address token, bytes memory call) private {
        if (token.code.length == 0) revert TransferFailed(token);
        (bool ok, bytes memory answer) = token.call(call);
        if (!ok || (answer.length != 0 && !abi.decode(answer, (bool)))) revert TransferFailed(token);
    }

    function atLeast(uint256 amount, uint256 least) private pure {
        if (amount < least) revert TooLittleOut(amount, least);
    }

    function min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
