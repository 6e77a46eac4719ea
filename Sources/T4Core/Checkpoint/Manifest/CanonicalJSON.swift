import FoundationEssentials

/// One encoding for each value: keys sorted, no spaces, integers only. What is read back must be that encoding, byte for
/// byte, so that nothing in an object goes unnoticed.
package enum CanonicalJSON {
    /// Encodes a value.
    package static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    /// Decodes what `encode` wrote.
    /// - Parameter name: Of the object, for errors.
    /// - Throws: `.corrupted` when the bytes are anything else.
    package static func decode<Value: Codable>(_ type: Value.Type, _ bytes: [UInt8], name: String) throws -> Value {
        let value: Value
        do {
            value = try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw CheckpointError(.corrupted, "\(name) cannot be read: \(error)")
        }
        guard try encode(value) == bytes else {
            throw CheckpointError(.corrupted, "\(name) is not in the form in which it was written")
        }
        return value
    }

    /// SHA-256 of a value's encoding, hexadecimal.
    package static func hash(_ value: some Encodable) throws -> String {
        let bytes = try encode(value)
        return SHA256.digest(of: bytes.span.bytes).hex
    }
}
