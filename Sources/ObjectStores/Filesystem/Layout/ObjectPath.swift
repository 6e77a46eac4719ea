/// Where the object of a name lies below the folder `objects`.
///
/// Each part of a name is a folder, the last one a file whose name ends in `=`, so that `a` and `a/b` go together. In a
/// part, bytes other than `a`-`z`, `0`-`9`, `_`, `-` and `.` are written `%` and two hexadecimal digits, and so is a dot
/// at the start: no name is `.` or `..`, none differs from another in case or in Unicode normalization only. What is
/// longer than 200 bytes is cut; each piece but the last is a folder whose name ends in `+`. An empty part that is no
/// file is the folder `%`.
struct ObjectPath: Hashable {
    /// Path of the folder, empty for `objects` itself.
    let folder: String
    /// Name of the file in it.
    let file: String

    /// The path of an object.
    init(_ name: some Collection<UInt8>) {
        let parts = name.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        var components = parts.dropLast().flatMap { ObjectPath.components(ofFolder: $0) }
        var pieces = ObjectPath.pieces(of: parts.last ?? name[...])
        let last = pieces.popLast() ?? ""
        components += pieces.map { $0 + "+" }
        folder = components.joined(separator: "/")
        file = last + "="
    }

    /// The folder of all names that begin with `prefix`, which is empty or ends in `/`.
    static func folder(of prefix: some Collection<UInt8>) -> String {
        prefix.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropLast()
            .flatMap { components(ofFolder: $0) }.joined(separator: "/")
    }

    /// The path of the file.
    var relative: String { ObjectPath.join(folder, file) }

    /// A path of a name in a folder.
    static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : "\(folder)/\(name)" }

    /// What a name found in a folder stands for.
    enum Found {
        case object([UInt8])
        case folder([UInt8])
        /// More of the same part lies inside.
        case piece([UInt8])
    }

    /// Reads a name; nil when no part of an object's name is written so.
    static func read(_ name: String) -> Found? {
        if name == "%" { return .folder([]) }
        if name.utf8.last == UInt8(ascii: "=") { return decode(name.utf8.dropLast()).map(Found.object) }
        if name.utf8.last == UInt8(ascii: "+") { return decode(name.utf8.dropLast()).map(Found.piece) }
        return decode(name.utf8[...]).map(Found.folder)
    }

    private static func components(ofFolder part: some Collection<UInt8>) -> [String] {
        if part.isEmpty { return ["%"] }
        let pieces = pieces(of: part)
        return pieces.enumerated().map { $0.offset == pieces.count - 1 ? $0.element : $0.element + "+" }
    }

    private static let pieceBytesMax = 200

    /// The escaped part, cut into pieces; none for an empty part.
    private static func pieces(of part: some Collection<UInt8>) -> [String] {
        var pieces: [String] = []
        var piece: [UInt8] = []
        for byte in part {
            let isAtStart = piece.isEmpty || piece.count + 1 > pieceBytesMax
            let isPlain = isPlain(byte) && !(isAtStart && byte == UInt8(ascii: "."))
            let escaped = isPlain ? [byte] : [UInt8(ascii: "%"), hex(byte >> 4), hex(byte & 15)]
            if piece.count + escaped.count > pieceBytesMax {
                pieces.append(String(decoding: piece, as: UTF8.self))
                piece = []
            }
            piece += escaped
        }
        if !piece.isEmpty { pieces.append(String(decoding: piece, as: UTF8.self)) }
        return pieces
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
            UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private static func hex(_ digit: UInt8) -> UInt8 { Array("0123456789abcdef".utf8)[Int(digit)] }

    private static func decode(_ text: Substring.UTF8View) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            if isPlain(byte) {
                bytes.append(byte)
            } else {
                guard byte == UInt8(ascii: "%"), rest.count >= 2,
                    let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
                else { return nil }
                bytes.append(code)
                rest = rest.dropFirst(2)
            }
        }
        return bytes
    }
}
