import T4Protocols

@testable import T4Core

/// An intact object as a later version would write it: with the format one above the known one.
enum LaterObject {
    /// - Parameter grows: Whether the later version has a member more, which this one cannot make anything of.
    static func of(_ bytes: [UInt8], grows: Bool) -> [UInt8] {
        if bytes.starts(with: Array("T4LOGSEG".utf8)) { return ofLog(bytes) }
        if bytes.starts(with: TableFormat.magic) { return ofTable(bytes) }
        let text = String(decoding: bytes, as: UTF8.self)
        return Array((text.hasPrefix("{\"checkpoint\":{") ? ofManifest(text, grows) : ofSealed(text, grows)).utf8)
    }

    /// - Parameter known: The highest format that this version knows.
    private static func raised(_ json: Substring, _ grows: Bool, known: Int = 1) -> String {
        let text = json.replacing(/"format":[0-9]+,/, with: "\"format\":\(known + 1),", maxReplacements: 1)
        return grows ? "\(text.dropLast()),\"zeal\":7}" : String(text)
    }

    private static func ofSealed(_ text: String, _ grows: Bool) -> String {
        let open = raised(text[...].replacing(/"sum":"[0-9a-f]*"/, with: "\"sum\":\"\"")[...], grows)
        return open.replacing("\"sum\":\"\"", with: "\"sum\":\"\(hash(open))\"")
    }

    private static func ofManifest(_ text: String, _ grows: Bool) -> String {
        let parts = text.firstMatch(of: /^\{"checkpoint":(.*),"envelope":(.*),"id":"[0-9a-f]*","sum":"[0-9a-f]*"\}$/)
        guard let parts else { preconditionFailure("no manifest: \(text)") }
        let checkpoint = raised(parts.1, grows, known: Manifest.latestFormat)
        let envelope = raised(parts.2, grows)
        let id = hash(checkpoint)
        return
            "{\"checkpoint\":\(checkpoint),\"envelope\":\(envelope),\"id\":\"\(id)\",\"sum\":\"\(hash(id + envelope))\"}"
    }

    private static func hash(_ text: String) -> String {
        let hash = SHA256()
        let bytes = Array(text.utf8)
        hash.update(bytes.span.bytes)
        return hash.digest().hex
    }

    private static func ofLog(_ bytes: [UInt8]) -> [UInt8] {
        var head = Array(bytes[..<68])
        head[8] = 2
        head.appendLittleEndian(CRC32C.checksum(head.span.bytes))
        return head + bytes[72...]
    }

    private static func ofTable(_ bytes: [UInt8]) -> [UInt8] {
        let start = bytes.count - TableFormat.footerSize
        var footer = Array(bytes[start..<bytes.count - 16])
        footer.appendLittleEndian(UInt32(2))
        footer.appendLittleEndian(CRC32C.checksum(footer.span.bytes))
        return Array(bytes[..<start]) + footer + TableFormat.magic
    }
}
