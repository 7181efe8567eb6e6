/* engine/embed/spectral.h: a chip described by its power spectrum and its grey values; no weights.
 *
 * The chip's mean is taken off, a 2-D Hann window laid on (its samples at half-pixel centres), zeros
 * put around it up to N x N, and the power spectrum taken, scaled so that its sum is the windowed
 * variance in grey^2. N is the smallest even product of 2, 3 and 5 not below max(64, min(2 S, S + 64)):
 * the zeros make small chips' few waves readable in fine bins. The half plane is cut into 12 rings,
 * equally wide in the logarithm, from 0.6 waves a chip to the Nyquist limit of S / 2, and each ring
 * into 4 sectors centred on 0, 45, 90 and 135 degrees from the fast axis.
 *
 *   number     what it is                                                       scaled by
 *   0          mean grey value, 0 .. 255                                        1.5 / 64
 *   1          its standard deviation                                           1 / 32
 *   2          skewness, of standard deviation + 4 grey, held to -3 .. 3         0.5
 *   3 .. 14    ring r: square root of its share of the power of all rings        3
 *   15 .. 62   ring r, sector q: square root of its power, grey rms             2 / 64
 *   63 .. 86   ring r: square root of |sum of P exp(i m angle)| / power of all   2
 *              rings, m = 2 (stripes), then m = 4 (a square lattice)
 *
 * Shares have 1 grey^2 added to their denominator, so that a flat chip has none rather than those of its
 * noise. Square roots make the spread of a power about independent of its size, and shares compare as
 * distributions do (Hellinger). The scales put what changes from material to material, or from order
 * to disorder, at distances of about 1, and scatter within one material at some tenths: softmax of
 * minus the distance is then neither flat nor saturated. All but the skewness are at least 0, so that
 * cosines fill the upper part of 0 .. 1 (0.5 .. 1 on these scenes).
 *
 * How good it is, on the golden scenes, whose truth is known; other scenes of the same kind with other
 * seeds decided the scales. Few-shot by the nearest mean of four supports (golden definition 8): the
 * share of chips right, and in brackets the mean of the shares right among ordered and among
 * disordered LFO. Trivial: the chip's mean and standard deviation, each over its spread in the scene.
 *
 *   case                  trivial        spectral       squeezenet1_1 at 64 px
 *   table2_pristine_0     .978           .975           .969   (nothing disordered there)
 *   table2_pristine_0.1   .778 [.497]    .969 [.906]    .922 [.824]
 *   table2_defective_0    .910 [.768]    .944 [.844]    .828 [.699]
 *   table2_defective_0.1  .903 [.802]    .943 [.868]    .844 [.710]
 *   c_defective0          .901 [.814]    .960 [.845]    .857 [.734]
 *   d_defective01         .798 [.662]    .877 [.801]    .817 [.665]
 *   b_pristine01          .889 [.646]    .972 [.979]    .917 [.823]
 *   f_gmp_coarse          .906 [.912]    .885 [.969]    .885 [.925]
 *   mean                  .883 [.729]    .941 [.887]    .880 [.769]
 *
 * Level: a chip that was measured longer has less noise, and is not thereby another material. Whoever compares chips of
 * unequal dose with one another, and has no class to go by, compares what is to be expected of them at one dose. The
 * variance v of white noise is estimated as the mean square of the mask 1 -2 1, -2 4 -2, 1 -2 1 over 36 (Immerkaer
 * 1996, doi:10.1006/cviu.1996.0060); in a picture measured x times shorter it is x v. What noise of variance 1 gives
 * follows from the window w alone: of coefficients k and l the covariance
 *     c_kl = b(k - l) - a_k b(l) - a_l b(k) + a_k a_l   over N^2,   a, b the transforms of w and w^2, 1 at 0
 * (a: of the mean that was taken off), of their powers 2 c_kl^2, an image being real. So a bin or ring has a mean power
 * n = sum c_kk and a variance u = sum 2 c_kl^2 of it, and |sum of P exp(i m angle)|^2 the mean u_m = sum 2 c_kl^2
 * cos(m (angle_k - angle_l)). The noise that is missing adds (x - 1) v to the variance of the grey values, (x - 1) v n
 * to the power P of bins and rings; variances grow by ((x^2 - 1) v^2 + 2 (x - 1) v S / n) u, S = P - v n being
 * structure. Of what varies roots are taken: the mean root of a power P of variance V is sqrt(P) (1 - V / 8 P^2), that
 * of a length L whose square grows by V is (L^2 + V)^(1/4) (1 - 3 V (V + 2 L^2) / 32 (L^2 + V)^2). Nothing is taken off,
 * and no noise is drawn: what was measured longer keeps its smaller scatter, and where x is 1 nothing changes. The mask
 * takes a little of a lattice for noise, of waves longer than 7 px less than a thousandth of their power.
 * What is missing of the scatter is the sum of the variances of these roots (P r (1 - r / 8) / 4 with r = V / P^2, and
 * alike of lengths) and of what the grey values' moments vary by. Measured (tests/unit/engine/embed/test_spectral.c):
 * eight exposures move noise, or a lattice in noise, by 1.5 to 2.3 of the scatter of single chips, levelled by 0.1; the
 * scatter said to be missing is 1.2 to 1.3 times what is. Half the chips of a uniform specimen at 8 times the dose of the
 * others, level with 2.2 times the least dose, AMI of the image's groups with the dose over six seeds: communities
 * -0.01 to 0.00, Ward's hierarchy cut into four 0.02 to 0.17; without it 0.15 to 0.44 and 0.66 to 0.68.
 *
 * It knows nothing of what a phase is: it was tried on this kind of scene alone.
 */
#ifndef FLY_EMBED_SPECTRAL_H
#define FLY_EMBED_SPECTRAL_H

enum {
    FLY_SPECTRAL_RINGS = 12,
    FLY_SPECTRAL_SECTORS = 4,
    FLY_SPECTRAL_MEAN = 0,
    FLY_SPECTRAL_SD = 1,
    FLY_SPECTRAL_SKEW = 2,
    FLY_SPECTRAL_SHARE = 3,
    FLY_SPECTRAL_POWER = FLY_SPECTRAL_SHARE + FLY_SPECTRAL_RINGS,
    FLY_SPECTRAL_ORDER = FLY_SPECTRAL_POWER + FLY_SPECTRAL_RINGS * FLY_SPECTRAL_SECTORS,
    FLY_SPECTRAL_WIDTH = FLY_SPECTRAL_ORDER + FLY_SPECTRAL_RINGS * 2, /* 87 */
};

#endif
