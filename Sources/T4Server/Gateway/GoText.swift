/// Texts as Go's packages make them; those of etcd 3.5.1, which Go 1.16 built.
enum GoText {
    /// In double quotes, with escapes for what cannot be printed and for bytes that are no UTF-8.
    static func quoted(_ bytes: some Collection<UInt8>) -> String {
        var result = "\""
        var rest = Array(bytes)[...]
        while let first = rest.first {
            let length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
            if let scalar = String(validating: rest.prefix(length), as: UTF8.self)?.unicodeScalars.first {
                result += escaped(scalar)
                rest = rest.dropFirst(length)
            } else {
                result += "\\x" + hexadecimal(UInt32(first), 2)
                rest = rest.dropFirst()
            }
        }
        return result + "\""
    }

    /// One character as it stands between double quotes.
    static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case "\u{7}": "\\a"
        case "\u{8}": "\\b"
        case "\u{c}": "\\f"
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        case "\u{b}": "\\v"
        case _ where isPrintable(scalar): String(scalar)
        case "\0"..<" ": "\\x" + hexadecimal(scalar.value, 2)
        case "\0"..."\u{ffff}": "\\u" + hexadecimal(scalar.value, 4)
        default: "\\U" + hexadecimal(scalar.value, 8)
        }
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    static func hexadecimal(_ number: UInt32, _ width: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
