import Foundation
import Logging
import RPC
import T4Core

@testable import T4Server

extension FuzzTarget {
    /// Requests to the gateway. The first byte chooses the message. What was read is written, and read again it is the same.
    static let json = FuzzTarget(name: "json") { input in
        guard let choice = input.first else { return }
        let type = messages[Int(choice) % messages.count]
        do throws(JSONFailure) {
            let text = try written(try read(Array(input.dropFirst()), type), type)
            let again: [UInt8]
            do throws(JSONFailure) {
                again = try written(try read(text, type), type)
            } catch {
                throw JSONFailure(text: "own text: \(error.text)")
            }
            guard text == again else { throw JSONFailure(text: "own text: another one") }
        } catch {
            try FuzzFailure.unless(!error.text.hasPrefix("own text"), error.text)
        }
    }

    /// Requests of all methods, so that one byte tells them apart.
    private static let messages = GatewaySchema.etcd.methods.sorted { $0.key < $1.key }.map(\.value.request)

    private static func read(_ text: [UInt8], _ type: GatewayMessage) throws(JSONFailure) -> [UInt8] {
        let result: Result<[UInt8], JSONFailure> = text.withUnsafeBufferPointer { text in
            do throws(JSONFailure) {
                return .success(try GatewayRequest.first(of: text, type))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private static func written(_ message: [UInt8], _ type: GatewayMessage) throws(JSONFailure) -> [UInt8] {
        var text: [UInt8] = []
        let result: Result<Void, JSONFailure> = message.withUnsafeBytes { bytes in
            do throws(JSONFailure) {
                return .success(try JSONWriter.append(bytes, type, to: &text))
            } catch {
                return .failure(JSONFailure(text: "own text: \(error.text)"))
            }
        }
        try result.get()
        return text
    }

    /// Tokens. After an odd first byte the rest is the claims of one with a good signature, so that they are read; else it is
    /// the whole token, which has none.
    static let token = FuzzTarget(name: "token") { input in
        guard let choice = input.first else { return }
        let rest = Array(input.dropFirst())
        guard choice & 1 == 1 else {
            return try FuzzFailure.unless(tokens.tokens.claims(of: rest) == nil, "a token without a signature is taken")
        }
        let head = Base64URL.text(of: Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8))
        let signed = head + [UInt8(ascii: ".")] + Base64URL.text(of: rest)
        let token = signed + [UInt8(ascii: ".")] + Base64URL.text(of: try tokens.key.signature(of: signed))
        guard let claims = tokens.tokens.claims(of: token) else { return }
        let made = try tokens.tokens.token(for: claims.user, revision: claims.revision, at: 0)
        let again = tokens.tokens.claims(of: Array(made.utf8))
        // Numbers of JSON have 53 bits for sure.
        let isSame = claims.revision >= 1 << 53 || again?.revision == claims.revision
        try FuzzFailure.unless(again?.user == claims.user && isSame, "\(claims) became \(again as Any)")
    }

    private static let tokens: (tokens: SignedTokens, key: SigningKey) = {
        let file = FileManager.default.temporaryDirectory.appending(path: "t4-fuzz-\(UUID().uuidString).key")
        defer { try? FileManager.default.removeItem(at: file) }
        do {
            try Data("a key of thirty-two bytes or more".utf8).write(to: file)
            let method = SigningMethod.hs256
            let files = SigningKeyFiles.signing(CredentialFile(setting: "key", path: file.path))
            let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
            return (
                try SignedTokens(method, files, lifetime: .seconds(60), logger: logger), try SigningKey(method, files)
            )
        } catch {
            fatalError("no key: \(error)")
        }
    }()
}
