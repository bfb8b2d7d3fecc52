export function name(color: "red" | "green"): string {
  switch (color) {
    case "red":
      return "r";
  }
  return "";
}
