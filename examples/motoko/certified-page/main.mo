// A web page whose content the subnet certifies. The canister puts the root hash of a small hash tree into its certified data; the response carries
// the certificate of that hash and the tree, so that the gateway, or anybody, can check the body (HTTP gateway protocol, version 1).
//
//     fusion canister install bin/motoko/4.10/page.wasm
//
// Then open http://<canister id>.localhost:4943/.
import Array "mo:base/Array";
import Blob "mo:base/Blob";
import Buffer "mo:base/Buffer";
import CertifiedData "mo:base/CertifiedData";
import Debug "mo:base/Debug";
import Nat8 "mo:base/Nat8";
import Text "mo:base/Text";
import Sha256 "sha256";

persistent actor Page {
  type Request = { method : Text; url : Text; headers : [(Text, Text)]; body : Blob; certificate_version : ?Nat16 };
  type Response = { status_code : Nat16; headers : [(Text, Text)]; body : Blob };

  var message = "hello from Motoko";

  func page() : Blob {
    Text.encodeUtf8("<!doctype html><meta charset=\"utf-8\"><title>certified</title><h1 id=\"message\">" # escape message # "</h1>")
  };

  func escape(t : Text) : Text {
    Text.replace(Text.replace(t, #char '&', "&amp;"), #char '<', "&lt;")
  };

  // The tree is labeled("http_assets", labeled("/", leaf(sha256(page)))).
  func domain(name : Text) : [Nat8] {
    let b = Blob.toArray(Text.encodeUtf8 name);
    Array.append([Nat8.fromNat(b.size())], b)
  };

  func labeled(label_ : Text, h : [Nat8]) : [Nat8] {
    Sha256.sum(Array.append(Array.append(domain "ic-hashtree-labeled", Blob.toArray(Text.encodeUtf8 label_)), h))
  };

  func certify() {
    let leaf = Sha256.sum(Array.append(domain "ic-hashtree-leaf", Sha256.sum(Blob.toArray(page()))));
    CertifiedData.set(Blob.fromArray(labeled("http_assets", labeled("/", leaf))))
  };

  // The same tree in CBOR: [2, "http_assets", [2, "/", [3, hash]]], after the tag of self-described CBOR.
  func tree() : [Nat8] {
    let b = Buffer.Buffer<Nat8>(80);
    func put(bytes : [Nat8]) { for (x in bytes.vals()) b.add x };
    put([0xd9, 0xd9, 0xf7, 0x83, 0x02, 0x4b]);
    put(Blob.toArray(Text.encodeUtf8 "http_assets"));
    put([0x83, 0x02, 0x41, 0x2f, 0x82, 0x03, 0x58, 0x20]);
    put(Sha256.sum(Blob.toArray(page())));
    Buffer.toArray b
  };

  func base64(bytes : [Nat8]) : Text {
    let digits = Text.toArray("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    var out = "";
    var i = 0;
    while (i < bytes.size()) {
      let left = bytes.size() - i;
      func at(k : Nat) : Nat { if (k < left) Sha256.nat(bytes[i + k]) else 0 };
      let n = at 0 * 65536 + at 1 * 256 + at 2;
      func digit(k : Nat) : Text { Text.fromChar(digits[k % 64]) };
      out #= digit(n / 262144) # digit(n / 4096) # (if (left > 1) digit(n / 64) else "=") # (if (left > 2) digit n else "=");
      i += 3
    };
    out
  };

  certify(); // at each start: certified data does not survive an upgrade

  public query func http_request(r : Request) : async Response {
    switch (CertifiedData.getCertificate()) {
      case (?certificate) {
        {
          status_code = 200;
          headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("ic-certificate", "certificate=:" # base64(Blob.toArray certificate) # ":, tree=:" # base64(tree()) # ":"),
          ];
          body = page()
        }
      };
      case null Debug.trap("there is a certificate in queries that one replica answers only");
    }
  };

  public query func get() : async { message : Text; page : Blob; certificate : ?Blob } {
    { message; page = page(); certificate = CertifiedData.getCertificate() }
  };

  public func set_message(text : Text) : async () {
    if (text.size() > 1000) Debug.trap("at most 1000 characters");
    message := text;
    certify()
  };
}
