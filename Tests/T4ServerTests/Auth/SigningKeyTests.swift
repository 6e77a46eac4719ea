import Foundation
import Logging
import RPC
import T4Core
import TestCertificates
import Testing

@testable import T4Server

/// Goal: signatures are those that others make and check, and whoever names a wrong key file is told which and why. Method:
/// keys and signatures of the openssl command.
@Suite struct SigningKeyTests {
    private let message = Array("header.claims".utf8)

    @Test(arguments: SigningMethod.allCases) func signaturesOfOpenSSLAreTaken(_ method: SigningMethod) async throws {
        try await SigningFiles.with { files in
            let key = try SigningKey(method, try await files.signing(method))
            let other = try SigningKey(method, try await files.signing(method, "other"))
            let theirs = try await files.signature(of: message, method)
            #expect(key.verifies(theirs, of: message))
            #expect(!key.verifies(theirs, of: message + [0]))
            #expect(!other.verifies(theirs, of: message))
            for index in [0, theirs.count / 2, theirs.count - 1] {
                var changed = theirs
                changed[index] ^= 1
                #expect(!key.verifies(changed, of: message))
            }
            for wrong in [[], theirs + [0], Array(theirs.dropLast()), [UInt8](repeating: 0, count: theirs.count)] {
                #expect(!key.verifies(wrong, of: message))
            }
            // With the public half alone.
            guard method.family != .hmac else { return }
            let half = try SigningKey(method, try await files.verifying(method))
            #expect(half.verifies(theirs, of: message) && !half.canSign)
        }
    }

    @Test(arguments: SigningMethod.allCases) func openSSLTakesOurs(_ method: SigningMethod) async throws {
        try await SigningFiles.with { files in
            let key = try SigningKey(method, try await files.signing(method))
            let made = try key.signature(of: message)
            #expect(key.canSign && key.verifies(made, of: message))
            if method.family == .hmac {
                #expect(try await files.signature(of: message, method) == made)
            } else {
                try await files.expectTaken(made, of: message, method)
                await #expect(throws: TestCertificates.Failure.self) {
                    try await files.expectTaken(made, of: message + [0], method)
                }
            }
        }
    }

    @Test func filesThatCannotBeUsed() async throws {
        try await SigningFiles.with { files in
            let rsa = try await files.privateKey(.rs256)
            let rsaPublic = try await files.publicKey(.rs256)
            let short = files.path("short")
            try await files.openssl(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", short])
            let curve = try await files.privateKey(.es384)
            let edwards = try await files.privateKey(.edDSA)
            let encrypted = files.path("encrypted")
            try await files.openssl(["pkey", "-in", rsa, "-aes128", "-passout", "pass:x", "-out", encrypted])
            let damaged = files.path("damaged")
            try Data("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".utf8).write(
                to: URL(filePath: damaged))
            let damagedPublic = files.path("damaged.pub")
            try Data("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".utf8).write(
                to: URL(filePath: damagedPublic))
            let empty = files.path("empty")
            try Data().write(to: URL(filePath: empty))
            let missing = files.path("missing")

            let privates: [(SigningMethod, String, String)] = [
                (.rs256, missing, "there is no such file; check the path"),
                (.hs256, missing, "there is no such file; check the path"),
                (.hs256, empty, "the file is empty; write a secret into it (openssl rand -hex 64)"),
                (
                    .rs256, rsaPublic,
                    "it holds a public key, not a private one; name the private key; are two settings swapped?"
                ),
                (
                    .rs256, encrypted,
                    "the key is encrypted, and nobody is asked for its password; write it without one (openssl pkey -in "
                        + "FILE -out NEWFILE) and keep it readable for t4 alone"
                ),
                (
                    .es256, damaged,
                    "the private key in it is damaged or of an unknown kind; copy or make it anew, ECDSA on prime256v1"
                ),
                (.ps512, short, wrong("RSA of 1024 bits", .ps512, "RSA of 2048 bits or more")),
                (.rs256, curve, wrong("ECDSA on secp384r1", .rs256, "RSA of 2048 bits or more")),
                (.es256, curve, wrong("ECDSA on secp384r1", .es256, "ECDSA on prime256v1")),
                (.es256, rsa, wrong("RSA", .es256, "ECDSA on prime256v1")),
                (.edDSA, rsa, wrong("RSA", .edDSA, "Ed25519")),
                (.es512, edwards, wrong("Ed25519", .es512, "ECDSA on secp521r1")),
            ]
            for (method, path, text) in privates {
                #expect(files.problem(method, .signing(files.file(path))) == "key: \(path): \(text)")
            }
            let publics: [(SigningMethod, String, String)] = [
                (
                    .rs256, rsa,
                    "it holds a private key, not a public one; name the public key (openssl pkey -in FILE -pubout); are "
                        + "two settings swapped?"
                ),
                (
                    .rs256, damagedPublic,
                    "the public key in it is damaged or of an unknown kind; copy or make it anew, RSA of 2048 bits or more"
                ),
                (.es256, rsaPublic, wrong("RSA", .es256, "ECDSA on prime256v1")),
                (.hs256, rsaPublic, "HS256 has no public key; name the file of the secret as the private key"),
            ]
            for (method, path, text) in publics {
                #expect(files.problem(method, .verifying(files.file(path))) == "key: \(path): \(text)")
            }
            let otherPublic = try await files.publicKey(.rs256, "other")
            #expect(
                files.problem(.rs256, .signing(files.file(rsa), matching: files.file(otherPublic)))
                    == "key: \(rsa): the key does not belong to the public key in \(otherPublic); name the two halves of "
                    + "one key, or leave the public one out")
            #expect(files.problem(.rs256, .signing(files.file(rsa), matching: files.file(rsaPublic))) == nil)
        }
    }

    private func wrong(_ found: String, _ method: SigningMethod, _ wanted: String) -> String {
        "the key in it is \(found), and \(method.rawValue) needs \(wanted); name another key, or the sign-method that goes "
            + "with this one"
    }

    /// As etcd takes it.
    @Test func theKeyOfACertificate() async throws {
        try await SigningFiles.with { files in
            let pair = try await files.certificates.makeServer("signer")
            let signer = try SigningKey(.es256, .signing(files.file(pair.key), matching: files.file(pair.certificate)))
            let verifier = try SigningKey(.es256, .verifying(files.file(pair.certificate)))
            #expect(verifier.verifies(try signer.signature(of: message), of: message))
        }
    }
}
