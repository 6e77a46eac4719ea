import Foundation
import Logging
import RPC
import T4Core
import TestCertificates

@testable import T4Server

/// Keys and signatures made by the openssl command, in a folder of their own.
struct SigningFiles {
    let certificates: TestCertificates

    static func with<Result: Sendable>(
        _ body: (SigningFiles) async throws -> Result, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Result {
        try await TestCertificates.with { try await body(SigningFiles(certificates: $0)) }
    }

    func path(_ name: String) -> String { certificates.path(name) }
    func openssl(_ arguments: [String]) async throws { try await certificates.openssl(arguments) }
    func file(_ path: String) -> CredentialFile { CredentialFile(setting: "key", path: path) }

    /// Made at the first use.
    func privateKey(_ method: SigningMethod, _ name: String = "own") async throws -> String {
        let made = path("\(name)-\(method.rawValue).key")
        if FileManager.default.fileExists(atPath: made) { return made }
        switch method.family {
        case .hmac: try await openssl(["rand", "-out", made, "48"])
        case .rsa, .rsaPSS:
            try await openssl(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", made])
        case .ecdsa:
            let curve = "ec_paramgen_curve:\(method.curve.name)"
            try await openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", made])
        case .ed25519: try await openssl(["genpkey", "-algorithm", "ED25519", "-out", made])
        }
        return made
    }

    func publicKey(_ method: SigningMethod, _ name: String = "own") async throws -> String {
        let made = path("\(name)-\(method.rawValue).pub")
        try await openssl(["pkey", "-in", try await privateKey(method, name), "-pubout", "-out", made])
        return made
    }

    func signing(_ method: SigningMethod, _ name: String = "own") async throws -> SigningKeyFiles {
        .signing(file(try await privateKey(method, name)))
    }

    func verifying(_ method: SigningMethod, _ name: String = "own") async throws -> SigningKeyFiles {
        .verifying(file(try await publicKey(method, name)))
    }

    func tokens(
        _ method: SigningMethod, _ name: String = "own", lifetime: Duration = .seconds(300)
    ) async throws -> SignedTokens {
        try SignedTokens(method, try await signing(method, name), lifetime: lifetime, logger: SigningFiles.quiet)
    }

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// What is said of files; nil where they are taken.
    func problem(_ method: SigningMethod, _ files: SigningKeyFiles) -> String? {
        do {
            _ = try SigningKey(method, files)
            return nil
        } catch {
            return error.description
        }
    }

    // MARK: Signatures

    /// In the form that tokens have.
    func signature(of message: [UInt8], _ method: SigningMethod, _ name: String = "own") async throws -> [UInt8] {
        let (input, output) = (path("message-\(UUID().uuidString)"), path("signature-\(UUID().uuidString)"))
        try Data(message).write(to: URL(filePath: input))
        let key = try await privateKey(method, name)
        switch method.family {
        case .hmac:
            let secret = try Data(contentsOf: URL(filePath: key)).map { String(format: "%02x", $0) }.joined()
            let options = ["-\(method.digest)", "-mac", "HMAC", "-macopt", "hexkey:\(secret)", "-binary"]
            try await openssl(["dgst"] + options + ["-out", output, input])
        case .ed25519:
            try await openssl(["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", input, "-out", output])
        case .rsa, .rsaPSS, .ecdsa:
            try await openssl(
                ["dgst", "-\(method.digest)", "-sign", key] + method.options + ["-out", output, input])
        }
        let made = [UInt8](try Data(contentsOf: URL(filePath: output)))
        return method.family == .ecdsa ? plain(made, width: method.width) : made
    }

    /// Fails where the openssl command does not take a signature.
    func expectTaken(_ signature: [UInt8], of message: [UInt8], _ method: SigningMethod) async throws {
        let (input, other) = (path("message-\(UUID().uuidString)"), path("signature-\(UUID().uuidString)"))
        try Data(message).write(to: URL(filePath: input))
        let known = method.family == .ecdsa ? structured(signature, width: method.width) : signature
        try Data(known).write(to: URL(filePath: other))
        let key = try await publicKey(method)
        if method.family == .ed25519 {
            let inputs = ["-in", input, "-sigfile", other]
            return try await openssl(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key] + inputs)
        }
        try await openssl(
            ["dgst", "-\(method.digest)", "-verify", key] + method.options + ["-signature", other, input])
    }

    /// Two numbers out of a sequence of ASN.1, which is short enough for one byte of each length but the first.
    private func plain(_ bytes: [UInt8], width: Int) -> [UInt8] {
        var rest = bytes[(bytes[1] & 0x80 == 0 ? 2 : 3)...]
        var result: [UInt8] = []
        for _ in 0..<2 {
            let count = Int(rest[rest.startIndex + 1])
            let number = rest.dropFirst(2).prefix(count).drop { $0 == 0 }
            result += [UInt8](repeating: 0, count: width - number.count) + number
            rest = rest.dropFirst(2 + count)
        }
        return result
    }

    private func structured(_ bytes: [UInt8], width: Int) -> [UInt8] {
        let numbers = [bytes.prefix(width), bytes.suffix(width)].flatMap { half -> [UInt8] in
            var number = Array(half.drop { $0 == 0 })
            if number.first.map({ $0 & 0x80 != 0 }) ?? true { number.insert(0, at: 0) }
            return [2, UInt8(number.count)] + number
        }
        let length = numbers.count < 0x80 ? [UInt8(numbers.count)] : [0x81, UInt8(numbers.count)]
        return [0x30] + length + numbers
    }
}

extension SigningMethod {
    fileprivate var width: Int { (curve.bits + 7) / 8 }

    fileprivate var digest: String { "sha" + rawValue.suffix(3) }

    fileprivate var options: [String] {
        family == .rsaPSS ? ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] : []
    }
}
