// The scenario of ../clients.mjs with @icp-sdk/core 5.
import * as agent from '@icp-sdk/core/agent';
import * as identity from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { IcManagementCanister } from '@icp-sdk/canisters/ic-management';
import { run } from '../clients.mjs';

// Its SubnetStatus looks the ranges up at /canister_ranges/<subnet> as if they were one value there, but the specification has one
// for each part below it; so it shows null, and the check of the ranges is for version 6.
const statusOf = (management, canisterId) => management.canisterStatus({ canisterId });
await run({ name: '@icp-sdk/core 5', ...agent, pollForResponse: agent.polling.pollForResponse, identity, Secp256k1KeyIdentity, IDL, Principal, Management: IcManagementCanister, statusOf });
