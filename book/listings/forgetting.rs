use unforget::metric;

#[test]
fn the_papers_two_numbers() {
    // ANCHOR: numbers
    // accuracies before and after, as fractions
    let target = metric::target_improvement(0.50, 0.55).unwrap();
    let others = metric::backward_transfer(&[(0.80, 0.60), (0.40, 0.42)]).unwrap();
    assert!((target - 10.0).abs() < 1e-9); // a tenth better, in percent of the base
    assert!((others - -10.0).abs() < 1e-9); // −25 % and +5 %, averaged
    // ANCHOR_END: numbers
    let points = metric::backward_transfer_points(&[(0.80, 0.60), (0.40, 0.42)]).unwrap();
    assert!((points - -9.0).abs() < 1e-9);
    assert_eq!(metric::target_improvement(0.0, 0.5), None, "relative to nothing");
}
