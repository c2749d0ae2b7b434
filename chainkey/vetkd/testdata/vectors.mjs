// Completes what TestVectorsOfTheClientLibrary wrote to in.json and writes out.json; see README.md.
import { readFileSync, writeFileSync } from "node:fs";
import { MasterPublicKey, MasterPublicKeyId, TransportSecretKey, EncryptedVetKey } from "@dfinity/vetkeys";
const hex = (b) => Buffer.from(b).toString("hex"), un = (s) => new Uint8Array(Buffer.from(s, "hex"));
const f = JSON.parse(readFileSync("in.json", "utf8"));
const master = MasterPublicKey.deserialize(un(f.Master));
for (const v of f.Vectors) {
  const own = master.deriveCanisterKey(un(v.Canister)), dpk = own.deriveSubKey(un(v.Context));
  v.CanisterKey = hex(own.publicKeyBytes());
  v.DerivedKey = hex(dpk.publicKeyBytes());
  const tsk = TransportSecretKey.deserialize(un(v.TransportSecret));
  if (hex(tsk.publicKeyBytes()) !== v.TransportPublic) throw new Error("transport key");
  const k = EncryptedVetKey.deserialize(un(v.EncryptedKey)).decryptAndVerify(tsk, dpk, un(v.Input));
  v.VetKey = hex(k.signatureBytes());
  v.Symmetric = hex(k.deriveSymmetricKey("fusion-vector", 32));
}
const p = MasterPublicKey.productionKey(MasterPublicKeyId.TEST_KEY_1), canister = "0000000000000001" + "0101", context = "abcd";
f.Production = { Master: hex(p.publicKeyBytes()), Canister: canister, Context: context, DerivedKey: hex(p.deriveCanisterKey(un(canister)).deriveSubKey(un(context)).publicKeyBytes()) };
writeFileSync("out.json", JSON.stringify(f, null, 1) + "\n");
console.log("accepted", f.Vectors.length);
