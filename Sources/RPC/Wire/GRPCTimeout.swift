/// The value of `grpc-timeout`: one to eight digits and a unit (H, M, S, m, u, n).
enum GRPCTimeout {
    /// What a header value says.
    enum Parsed: Equatable {
        /// So many nanoseconds; capped at about 146 years.
        case nanoseconds(Int64)
        /// Not a time-out; the text names what is wrong with it.
        case malformed(String)
    }

    private static let limit = Int64.max / 2

    static func parse(_ value: UnsafeBufferPointer<UInt8>) -> Parsed {
        guard value.count >= 2 else { return .malformed("transport: timeout string is too short: \(quoted(value))") }
        guard value.count <= 9 else { return .malformed("transport: timeout string is too long: \(quoted(value))") }
        let unit: Int64
        switch value[value.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return .malformed("transport: timeout unit is not recognized: \(quoted(value))")
        }
        var amount: Int64 = 0
        for digit in value.dropLast() {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else {
                return .malformed("transport: timeout is not a number: \(quoted(value))")
            }
            amount = amount * 10 + Int64(digit - UInt8(ascii: "0"))
        }
        let (product, overflow) = amount.multipliedReportingOverflow(by: unit)
        return .nanoseconds(overflow ? limit : min(product, limit))
    }

    /// The largest unit that says the time exactly enough in eight digits; at least one nanosecond.
    static func format(nanoseconds: Int64) -> [UInt8] {
        var amount = min(max(nanoseconds, 1), limit)
        for (divisor, unit) in [(1000, "n"), (1000, "u"), (1000, "m"), (60, "S"), (60, "M")] as [(Int64, String)] {
            if amount < 100_000_000 { return Array("\(amount)\(unit)".utf8) }
            amount = (amount + divisor - 1) / divisor
        }
        return Array("\(min(amount, 99_999_999))H".utf8)
    }

    private static func quoted(_ value: UnsafeBufferPointer<UInt8>) -> String {
        "\"" + String(decoding: value, as: UTF8.self) + "\""
    }
}
