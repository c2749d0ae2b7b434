// The scenario of ../clients.mjs with @dfinity/agent, which uses the older endpoints.
import * as agent from '@dfinity/agent';
import * as identity from '@dfinity/identity';
import { Secp256k1KeyIdentity } from '@dfinity/identity-secp256k1';
import { IDL } from '@dfinity/candid';
import { Principal } from '@dfinity/principal';
import { ICManagementCanister } from '@dfinity/ic-management';
import { run } from '../clients.mjs';

const statusOf = (management, canisterId) => management.canisterStatus(canisterId);
await run({ name: '@dfinity/agent', ...agent, pollForResponse: agent.polling.pollForResponse, identity, Secp256k1KeyIdentity, IDL, Principal, Management: ICManagementCanister, statusOf });
