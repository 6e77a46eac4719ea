import Foundation

/// Copies lent bytes.
package func copy(_ bytes: RawSpan) -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }

/// Orders keys as unsigned bytes, a prefix first.
func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    let order = compareStarts(left, right)
    return order < 0 || order == 0 && left.count < right.count
}

/// As `==`, which goes byte by byte in an unoptimized build.
func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.count == right.count && compareStarts(left, right) == 0
}

/// As `==`, for what a read gives.
func isEqual(_ left: [UInt8]?, _ right: [UInt8]?) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return isEqual(left, right)
}

/// The start of a key or value in hexadecimal, and its length.
func brief(_ bytes: [UInt8]) -> String {
    let digits = bytes.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return bytes.count > 8 ? "\(digits)...(\(bytes.count) bytes)" : "[\(digits)]"
}

/// Compares as many bytes as both have: below, above or equal to zero.
private func compareStarts(_ left: [UInt8], _ right: [UInt8]) -> Int32 {
    let count = min(left.count, right.count)
    guard count > 0 else { return 0 }
    return left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in memcmp(left.baseAddress!, right.baseAddress!, count) }
    }
}
