import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseQuantity, Quantity, QuantityError } from "./index.ts";

const REGULAR_EXPRESSION =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

describe("canonical form", () => {
  it.each([
    ["0", "0"],
    ["0Mi", "0"],
    ["-0", "0"],
    ["0.0", "0"],
    ["1", "1"],
    ["0.5", "500m"],
    [".5", "500m"],
    ["1.5", "1500m"],
    ["100m", "100m"],
    ["1000m", "1"],
    ["2500m", "2500m"],
    ["0.1", "100m"],
    ["0.001", "1m"],
    ["0.0001", "100u"],
    ["0.9n", "1n"],
    ["-0.9n", "-1n"],
    ["1000", "1k"],
    ["10000", "10k"],
    ["1024", "1024"],
    ["1000000", "1M"],
    ["1500k", "1500k"],
    ["2000k", "2M"],
    ["1024Ki", "1Mi"],
    ["1024Mi", "1Gi"],
    ["1.5Gi", "1536Mi"],
    ["0.5Mi", "512Ki"],
    ["0.5Ki", "512"],
    ["0.001Ki", "1024m"],
    ["0.0001Ki", "102400u"],
    ["100Mi", "100Mi"],
    ["-100Mi", "-100Mi"],
    ["8Ei", "9223372036854775807"],
    ["7Ei", "7Ei"],
    ["1e3", "1e3"],
    ["1E3", "1E3"],
    ["1000e3", "1e6"],
    ["10e2", "1e3"],
    ["1e-3", "1e-3"],
    ["12e6", "12e6"],
    ["1000E", "1e21"],
    ["18446744073709551616", "18446744073709551616"],
  ])("%s is printed as %s", (text, canonical) => {
    expect(parseQuantity(text).toString()).toBe(canonical);
  });

  it.each(["1.500", "1.", "+1", "1.234k", "01Ki"])("%s looks canonical to upstream and stays", (text) => {
    expect(parseQuantity(text).toString()).toBe(text);
  });

  it("takes plain JSON numbers", () => {
    expect(parseQuantity(0.5).toString()).toBe("500m");
    expect(parseQuantity(1e21).toString()).toBe("1e+21");
  });
});

describe("bad texts", () => {
  it.each(["", " 1", "1 ", "1.1.1", "aoeu", "1+1.0M", "0.1am", "1Mi ", "1e3.5", "0x10"])("%j", (text) => {
    expect(() => parseQuantity(text)).toThrow(new QuantityError(REGULAR_EXPRESSION));
  });

  it.each(["1i", "1mi", "1K", "1MM", "1e", "1e-", "+1e", "--1", "1e9999999999"])("%j has no such suffix", (text) => {
    expect(() => parseQuantity(text)).toThrow(new QuantityError("unable to parse quantity's suffix"));
  });

  it("costs no more than a moment", () => {
    expect(() => parseQuantity("9".repeat(1_000_000))).toThrow("unable to parse numeric part of quantity");
  });
});

describe("arithmetic", () => {
  it("rounds whole units and thousandths away from zero", () => {
    expect(parseQuantity("0.1").value()).toBe(1n);
    expect(parseQuantity("-0.1").value()).toBe(-1n);
    expect(parseQuantity("1.5Gi").value()).toBe(1610612736n);
    expect(parseQuantity("100m").milliValue()).toBe(100n);
    expect(parseQuantity("2").milliValue()).toBe(2000n);
    expect(parseQuantity("1u").milliValue()).toBe(1n);
  });

  it("keeps the family of the first quantity that is not zero", () => {
    expect(parseQuantity("512Mi").add(parseQuantity("512Mi")).toString()).toBe("1Gi");
    expect(parseQuantity("1Gi").sub(parseQuantity("1G")).toString()).toBe("73741824");
    expect(Quantity.zero.add(parseQuantity("1Gi")).toString()).toBe("1Gi");
    expect(Quantity.zero.sub(parseQuantity("1Gi")).toString()).toBe("-1Gi");
    expect(parseQuantity("1").sub(parseQuantity("300m")).toString()).toBe("700m");
  });

  it("compares by amount", () => {
    expect(parseQuantity("1Gi").compare(parseQuantity("1024Mi"))).toBe(0);
    expect(parseQuantity("1G").compare(parseQuantity("1Gi"))).toBe(-1);
    expect(parseQuantity("1").compare(parseQuantity("999m"))).toBe(1);
  });
});

const anyQuantity = fc
  .tuple(
    fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
    fc.constantFrom("", "n", "u", "m", "k", "M", "E", "Ki", "Mi", "Gi", "Ei", "e5", "e-7"),
  )
  .map(([number, suffix]) => parseQuantity(`${number}${suffix}`));

describe("properties", () => {
  it("a printed quantity parses to the same amount and prints the same", () => {
    fc.assert(
      fc.property(anyQuantity, anyQuantity, (a, b) => {
        // Sums of binary quantities may grow past what parsing caps.
        for (const quantity of [a, a.add(b)].filter(({ nanos }) => nanos < 2n ** 63n && nanos > -(2n ** 63n))) {
          const again = parseQuantity(quantity.toString());
          expect(again.nanos).toBe(quantity.nanos);
          expect(again.toString()).toBe(quantity.toString());
        }
      }),
    );
  });

  it("what was added can be taken away", () => {
    fc.assert(fc.property(anyQuantity, anyQuantity, (a, b) => a.add(b).sub(b).compare(a) === 0));
  });

  it("no text does worse than a QuantityError", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0123456789.+-eEinumkKMGTP".split("")) }), (text) => {
        try {
          parseQuantity(text).toString();
        } catch (error) {
          expect(error).toBeInstanceOf(QuantityError);
        }
      }),
    );
  });
});
