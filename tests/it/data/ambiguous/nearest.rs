// 6 draws: halves away from zero
pub fn nearest(tenths: i32) -> i32 {
    let (whole, rest) = (tenths / 10, tenths % 10);
    if rest.abs() >= 5 { whole + rest.signum() } else { whole }
}
// 4 draws: halves up
pub fn nearest(tenths: i32) -> i32 {
    (tenths as i64 + 5).div_euclid(10) as i32
}
// 3 draws: halves to the even one
pub fn nearest(tenths: i32) -> i32 {
    let (whole, rest) = (tenths / 10, tenths % 10);
    if rest.abs() > 5 || (rest.abs() == 5 && whole % 2 != 0) { whole + rest.signum() } else { whole }
}
// 3 draws: halves towards zero
pub fn nearest(tenths: i32) -> i32 {
    let (whole, rest) = (tenths / 10, tenths % 10);
    if rest.abs() > 5 { whole + rest.signum() } else { whole }
}
