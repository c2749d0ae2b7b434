// The scenario of clients.mjs with @icp-sdk/core 6.
import * as agent from '@icp-sdk/core/agent';
import * as identity from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { IcManagementCanister } from '@icp-sdk/canisters/ic-management';
import { run } from './clients.mjs';

const statusOf = (management, canisterId) => management.canisterStatus({ canisterId });
await run({ name: '@icp-sdk/core 6', ...agent, pollForResponse: agent.polling.pollForResponse, identity, Secp256k1KeyIdentity, IDL, Principal, Management: IcManagementCanister, statusOf, readsRanges: true });
